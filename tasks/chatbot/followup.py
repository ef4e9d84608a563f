"""Questions that only make sense after another, made to stand alone for the search.

By rule: a small model's rewriting adds more errors than it mends. What is searched for is the question with the one it follows before it, so
the terms of both count.
"""

from collections.abc import Sequence

from tasks.chatbot.language import languages
from tasks.text.detection import detect

LINKS = 3  # questions back that are looked at


def needs_history(question: str) -> bool:
    """Whether a question points back at an earlier one."""
    language = languages()[detect(question)]
    continues = language.CONTINUING.search(question) and len(question) < 3 * language.SHORT
    return bool(language.REFERRING.search(question) or continues or len(question.strip()) <= language.SHORT)


def standalone(question: str, earlier: Sequence[str]) -> str:
    """The question as it is searched for, given the questions before it, the newest last."""
    chain = [question]
    for before in reversed(earlier[-LINKS:]):
        if not needs_history(chain[0]):
            break
        chain.insert(0, before)
    return " ".join(chain)
