"""English, as benchmarks ask in it and models answer."""

import re

ASK = "Question: {question}\nAnswer:"
JOINT = " "
MARKS = re.compile(r"\banswers?\b[^.:?\n]{0,60}?(?:\b(?:is|are|(?:would|should|must|will)\s+be)\b\s*:?|:)", re.IGNORECASE)
YES = re.compile(r"\b(?:yes|yeah|true)\b", re.IGNORECASE)
NO = re.compile(r"\b(?:no|nope|false)\b", re.IGNORECASE)
MULTIPLES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_TEENS = ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = {word: 10 * tens for tens, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)}
_WORDS = {word: value for value, word in enumerate([*_UNITS, *_TEENS])} | _TENS
_SPELLED = re.compile(
    rf"\s*({'|'.join(_TENS)})[- ]({'|'.join(_UNITS[1:10])})\b|\s*({'|'.join(sorted(_WORDS, key=len, reverse=True))})\b", re.IGNORECASE
)


def spelled(text: str) -> int | None:
    """Up to ninety-nine."""
    found = _SPELLED.match(text)
    return sum(_WORDS[word.lower()] for word in found.groups() if word) if found else None
