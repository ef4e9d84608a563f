"""Personal data in text: e-mail addresses, telephone, card and account numbers, My Number, passports, postal addresses.

Numbers with a check digit count only when it holds. Names are not looked for: a pattern cannot tell them from other words.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tasks.chatbot.safety.language import languages
from tasks.chatbot.safety.text import half_width
from tasks.text.detection import detect

# In the order in which they claim a stretch of text; those that only a language knows come last.
CODES = (
    "private.email",
    "private.account",
    "private.card",
    "private.my_number",
    "private.ssn",
    "private.passport",
    "private.phone",
    "private.address",
)
# What `learning` looks for besides claims its stretch before the rest.
BEFORE = ("private.secret", "private.machine")
PASSPORT_WORDS = re.compile("|".join(language.PASSPORT for language in languages().values()), re.IGNORECASE)
NEAR = 30  # characters around a number in which a word says what it is


Kind = tuple[str, str, Callable[[re.Match[str]], bool] | None]  # as `SafetyLanguage.PERSONAL` has them


@dataclass(frozen=True)
class PersonalData:
    """Of one kind, from character `start` to `end`."""

    code: str
    start: int
    end: int


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def luhn_holds(number: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1, annex B (Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_holds(number: str) -> bool:
    """Whether an account number's check digits hold (ISO 13616: the rearranged number is 1 modulo 97)."""
    turned = number[4:] + number[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _card(match: re.Match[str]) -> bool:
    number = digits(match[0])
    return 13 <= len(number) <= 19 and len(set(number)) > 1 and luhn_holds(number)


def _passport(match: re.Match[str]) -> bool:
    """A number of a passport's form is one where a word near it says so, in any language."""
    return bool(PASSPORT_WORDS.search(match.string, max(0, match.start() - NEAR), match.end() + NEAR))


EVERYWHERE: list[Kind] = [
    ("private.email", r"(?<![\w.+-])[A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b", None),
    ("private.account", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", lambda m: iban_holds(m[0].replace(" ", ""))),
    ("private.card", r"(?<![\d-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d-]|\.\d)", _card),
    ("private.passport", r"(?<![A-Za-z0-9])[A-Z]{1,2}\d{7}(?![A-Za-z0-9])", _passport),
    ("private.phone", r"(?<![\w+])\+\d{1,3}(?:[ -]?(?:\(\d{1,4}\)|\d{1,4})){2,5}(?!\d)", lambda m: 9 <= len(digits(m[0])) <= 15),
]


Pattern = tuple[str, re.Pattern[str], Callable[[re.Match[str]], bool] | None]


def compiled(kinds: list[Kind]) -> list[Pattern]:
    return [(code, re.compile(pattern, re.ASCII), holds) for code, pattern, holds in kinds]


PATTERNS = compiled([*EVERYWHERE, *(kind for language in languages().values() for kind in language.PERSONAL)])


def find(text: str, patterns: list[Pattern] = PATTERNS) -> list[PersonalData]:
    """All personal data of a text in order; no two overlap. Of two of one code, the one that begins first claims the stretch."""
    claimed: list[PersonalData] = []
    for candidate in sorted(_candidates(half_width(text), patterns), key=_claim):
        if all(candidate.end <= other.start or other.end <= candidate.start for other in claimed):
            claimed.append(candidate)
    return sorted(claimed, key=lambda one: one.start)


def _claim(one: PersonalData) -> tuple[int, int]:
    ranks = (*BEFORE, *CODES)
    return ranks.index(one.code) if one.code in ranks else len(ranks), one.start


def _candidates(text: str, patterns: list[Pattern]) -> Iterator[PersonalData]:
    for code, pattern, holds in patterns:
        for match in pattern.finditer(text):
            if holds is None or holds(match):
                group = "number" if "number" in pattern.groupindex else 0
                yield PersonalData(code, match.start(group), match.end(group))


def redact(text: str, known: str = "") -> str:
    """The text with personal data replaced by placeholders that say its kind, in the text's language.

    What also stands in `known` (the question, the sources) stays.
    """
    parts, end = [], 0
    for one in leaked(text, known):
        parts += [text[end : one.start], placeholder(one.code, text)]
        end = one.end
    return "".join([*parts, text[end:]])


def placeholder(code: str, text: str) -> str:
    """What stands in the place of such data, in the text's language."""
    placeholders = languages()[detect(text)].PLACEHOLDERS
    return placeholders.get(code) or placeholders["private"]


def leaked(text: str, known: str = "") -> list[PersonalData]:
    """Personal data of a text that does not stand in `known`, however it is written there."""
    every = find(text)
    if not (every and known):
        return every
    there = {_bare(half_width(known)[one.start : one.end]) for one in find(known)}
    return [one for one in every if _bare(half_width(text)[one.start : one.end]) not in there]


def _bare(text: str) -> str:
    return re.sub(r"[\s()-]", "", text).lower()
