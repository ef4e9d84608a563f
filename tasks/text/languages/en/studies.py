"""English, as benchmarks ask in it and models answer."""

import re

ASK = "Question: {question}\nAnswer:"
JOINT = " "
MARKS = re.compile(
    r"\banswers?\b[^.:?\n]{0,60}?(?:\b(?:is|are|(?:would|should|must|will)\s+be)\b\s*:?|:)|"
    r"\b(?:correct|right|best)\s+(?:option|choice|one)\b[^.:?\n]{0,40}?(?:\bis\b\s*:?|:)",
    re.IGNORECASE,
)
# "no doubt" and "a true story" decide nothing; a text may begin with no, whatever follows.
YES = re.compile(r"\b(?:yes|yeah)\b|(?<!not )\btrue\b(?!\s+\w)", re.IGNORECASE)
NO = re.compile(r"^\W*no\b(?!\s+(?:one|doubt|matter)\b)|\b(?:no|nope|false|not true|untrue)\b(?!\s+\w)", re.IGNORECASE)
MULTIPLES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
MINUS = re.compile(r"(?:^|[^\d\s])\s*\b(?:minus|negative)\s+$", re.IGNORECASE)  # "10 minus 4" holds no -4
LABELS = ""
FRACTION = ENDING = TOPIC = re.compile(r"(?!)")

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_TEENS = ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = {word: 10 * tens for tens, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)}
_WORDS = {word: value for value, word in enumerate([*_UNITS, *_TEENS])} | _TENS
_ANY = "|".join(sorted([*_WORDS, *MULTIPLES], key=len, reverse=True))
_SPELLED = re.compile(
    rf"\s*(minus\s+|negative\s+)?((?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b(?:(?:[\s-]+|\s+and\s+)(?:{_ANY})\b)*)",
    re.IGNORECASE,
)


def spelled(text: str) -> int | None:
    """One hundred and twenty; minus forty-five."""
    found = _SPELLED.match(text)
    if not found:
        return None
    total = part = 0
    for word in re.split(r"[\s-]+", found[2].lower()):
        if word in _WORDS and part % 10 ** len(str(_WORDS[word])):
            break  # a number of its own: two and three
        if word in _WORDS:
            part += _WORDS[word]
        elif word == "hundred":
            part *= 100
        elif word != "and":
            total, part = total + part * MULTIPLES[word], 0
    return -(total + part) if found[1] else total + part
