"""Instructions and delimiters hidden in documents: text that is looked up is data, and must neither look like the chat template nor give orders.

A delimiter is spelled with other brackets, a sentence that orders the model about is quoted and called what it is. Nothing is deleted, so what
the document says can still be read, cited and checked.
"""

import re
from collections.abc import Collection
from functools import cache

from tasks.chatbot.safety.language import languages
from tasks.chatbot.safety.text import plain
from tasks.text.detection import detect

HEADINGS = "|".join(language.HEADINGS for language in languages().values())
BAR, OPEN, CLOSE = "[|｜]", "[<＜]", "[>＞]"
DELIMITERS = re.compile(
    rf"{OPEN}{BAR}[^<>＜＞\n]{{1,40}}{BAR}{CLOSE}"  # ChatML, Llama 3, Phi, DeepSeek
    rf"|{OPEN}{{1,2}}/?(?:s|sys|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|endoftext|system|assistant|user|tool_call|tool_response){CLOSE}{{1,2}}"
    r"|[\[［]/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)[\]］]"
    r"|^[ \t]*(?:#{2,3}[ \t]*)?(?:system|assistant|user|human|ai)[ \t]*[:：](?=[ \t]*\S)"  # a turn of a written dialogue
    rf"|^[ \t]*#{{2,3}}[ \t]*(?:{HEADINGS}|system|assistant)[ \t]*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
BRACKETS = str.maketrans(
    {"<": "‹", "＜": "‹", ">": "›", "＞": "›", "[": "(", "［": "(", "]": ")", "］": ")", ":": " -", "：": " -", "#": ""}
)

# In the order in which a text that has several is judged.
CODES = ("injection.override", "injection.role", "injection.exfiltrate", "injection.tool")
PATTERNS = {code: re.compile("|".join(language.ORDERS[code] for language in languages().values()), re.IGNORECASE) for code in CODES}
BREAK = re.compile(rf"({'|'.join(language.SENTENCE_BREAK for language in languages().values())}|\n+)")
# No sentence may close the quotation around it.
INNER = str.maketrans({mark: other for language in languages().values() for mark, other in language.INNER_QUOTES.items()})


def order_in(text: str) -> str | None:
    """The code of the first kind of order to the model that a text gives, or None."""
    bare = plain(text)
    return next((code for code, pattern in PATTERNS.items() if pattern.search(bare)), None)


def find(text: str) -> str | None:
    """The code of what in a document tries to steer the model: an order, or a delimiter of a chat template."""
    return order_in(text) or ("injection.delimiter" if DELIMITERS.search(text) else None)


def without_delimiters(text: str, specials: Collection[str] = ()) -> str:
    """A text that can end no message and begin none: what marks their borders is spelled otherwise."""
    escaped = DELIMITERS.sub(lambda match: match[0].translate(BRACKETS), text)
    if specials:
        escaped = _special(tuple(sorted(specials, key=len, reverse=True))).sub(lambda match: _apart(match[0]), escaped)
    return escaped


def as_data(text: str, specials: Collection[str] = ()) -> str:
    """A text from a document or a tool, made safe to stand in a prompt: delimiters spelled otherwise, orders quoted as what they are.

    `specials` are texts of the tokenizer's own special tokens.
    """
    escaped = without_delimiters(text, specials)
    if order_in(escaped) is None:
        return escaped
    parts = [_quoted(part) if order_in(part) else part for part in BREAK.split(escaped)]
    if not any(map(order_in, parts)):  # an order that runs over several sentences is in none of them: the whole text is quoted
        return _quoted(escaped)
    return "".join(parts)


@cache
def _special(specials: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(special) for special in specials if special.strip()) or r"(?!)")


def _apart(special: str) -> str:
    """A special token's text with other brackets; one that has none gets a space inside."""
    turned = special.translate(BRACKETS)
    return turned if turned != special else f"{special[:1]} {special[1:]}"


def _quoted(sentence: str) -> str:
    return languages()[detect(sentence)].QUOTED.format(sentence.strip().translate(INNER))
