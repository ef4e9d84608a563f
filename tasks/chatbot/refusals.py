"""What is said in place of what the safety filters blocked."""

from tasks.chatbot.language import languages


def refusal(code: str, lang: str) -> str:
    """The words for a filter's code; where the language has none, those for the kind of code, which stands before its dot."""
    words = languages()[lang].REFUSALS
    return words.get(code) or words[code.partition(".")[0]]
