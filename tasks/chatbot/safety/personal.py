"""Personal data in text: e-mail addresses, telephone, card and account numbers, My Number, passports, postal addresses.

Numbers with a check digit count only when it holds. Names are not looked for: a pattern cannot tell them from other words.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from tasks.chatbot.safety.text import half_width
from tasks.text.detection import detect

PLACEHOLDERS = {
    "private.email": {"en": "[email]", "ja": "[メールアドレス]"},
    "private.card": {"en": "[card number]", "ja": "[カード番号]"},
    "private.my_number": {"en": "[My Number]", "ja": "[マイナンバー]"},
    "private.ssn": {"en": "[social security number]", "ja": "[社会保障番号]"},
    "private.account": {"en": "[account number]", "ja": "[口座番号]"},
    "private.passport": {"en": "[passport number]", "ja": "[旅券番号]"},
    "private.phone": {"en": "[phone number]", "ja": "[電話番号]"},
    "private.address": {"en": "[address]", "ja": "[住所]"},
}
MY_NUMBER_WORDS = re.compile(r"マイナンバー|個人番号|my number|individual number", re.IGNORECASE)
PASSPORT_WORDS = re.compile(r"旅券|パスポート|passport", re.IGNORECASE)
NEAR = 30  # characters around a number in which a word says what it is
PREFECTURE = "(?:北海道|東京都|(?:大阪|京都)府|(?:神奈川|和歌山|鹿児島)県|[一-龥]{2}県)"
BLOCK = r"\d{1,4}(?:(?:丁目|番地?|号|-|の)\d{0,4}){1,4}号?"
STREET = r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Square|Terrace)\b\.?"


@dataclass(frozen=True)
class Found:
    """Personal data of one kind from character `start` to `end`."""

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


def my_number_holds(number: str) -> bool:
    """Whether the last of twelve digits is the check digit of a Japanese Individual Number (MIC ordinance 85 of 2014, article 5)."""
    weights = [n + 1 if n <= 6 else n - 5 for n in range(1, 12)]  # from the digit before the check digit, leftwards
    rest = sum(weight * int(digit) for weight, digit in zip(weights, reversed(number[:11]), strict=True)) % 11
    return int(number[11]) == (0 if rest <= 1 else 11 - rest)


def iban_holds(number: str) -> bool:
    """Whether an account number's check digits hold (ISO 13616: the rearranged number is 1 modulo 97)."""
    turned = number[4:] + number[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _is_time(number: str) -> bool:
    """Whether twelve digits read as a time from 1900 to 2099, such as 202511250140."""
    try:
        return 1900 <= datetime.strptime(number, "%Y%m%d%H%M").year < 2100
    except ValueError:
        return False


def _near(words: re.Pattern[str], match: re.Match[str]) -> bool:
    return bool(words.search(match.string, max(0, match.start() - NEAR), match.end() + NEAR))


def _card(match: re.Match[str]) -> bool:
    number = digits(match[0])
    return 13 <= len(number) <= 19 and len(set(number)) > 1 and luhn_holds(number)


def _my_number(match: re.Match[str]) -> bool:
    number = digits(match[0])
    return my_number_holds(number) and len(set(number)) > 1 and (not _is_time(number) or _near(MY_NUMBER_WORDS, match))


def _japanese_phone(match: re.Match[str]) -> bool:
    """Ten digits, or eleven of a mobile; not the free and shared numbers of businesses."""
    number = digits(match[0])
    mobile = re.match(r"0[5789]0", number) is not None
    return len(number) == (11 if mobile else 10) and not re.match(r"0120|0800|0570|00", number)


def _always(match: re.Match[str]) -> bool:
    return True


# In the order in which they claim a stretch of text.
KINDS: list[tuple[str, str, Callable[[re.Match[str]], bool]]] = [
    ("private.email", r"(?<![\w.+-])[A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b", _always),
    ("private.account", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", lambda m: iban_holds(m[0].replace(" ", ""))),
    ("private.account", r"口座(?:番号)?[^\d\n]{0,12}(?<!\d)(\d{7})(?!\d)", _always),
    ("private.card", r"(?<![\d-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d-]|\.\d)", _card),
    ("private.my_number", r"(?<![\d.-])(?<!\d )\d{4}([ -]?)\d{4}\1\d{4}(?![ -]?\d|\.\d)", _my_number),
    ("private.ssn", r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])", _always),
    ("private.passport", r"(?<![A-Za-z0-9])[A-Z]{1,2}\d{7}(?![A-Za-z0-9])", lambda m: _near(PASSPORT_WORDS, m)),
    ("private.phone", r"(?<![\w+])\+\d{1,3}(?:[ -]?(?:\(\d{1,4}\)|\d{1,4})){2,5}(?!\d)", lambda m: 9 <= len(digits(m[0])) <= 15),
    ("private.phone", r"(?<![\d.-])(?:\(0\d{1,4}\) ?|0\d{1,4}[ -]?)\d{1,4}[ -]?\d{3,4}(?![\d-]|\.\d)", _japanese_phone),
    ("private.phone", r"(?<![\d.-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])[2-9]\d{2}[-.]\d{4}(?![\d-])", _always),
    ("private.address", rf"(?:〒? ?\d{{3}}-\d{{4}} ?)?{PREFECTURE}[^\s、。,\d]{{1,24}}?[市区町村郡][^\s、。,\d]{{0,24}}{BLOCK}", _always),
    ("private.address", r"〒 ?\d{3}-\d{4}", _always),
    ("private.address", rf"\b\d{{1,5}} (?:[A-Z][a-z]+ ){{1,3}}{STREET}(?:, [A-Z][A-Za-z ]{{2,30}})?(?:,? [A-Z]{{2}} \d{{5}})?", _always),
]
PATTERNS = [(code, re.compile(pattern, re.ASCII), holds) for code, pattern, holds in KINDS]


def find(text: str) -> list[Found]:
    """All personal data of a text in order; no two overlap."""
    found: list[Found] = []
    for candidate in _candidates(half_width(text)):
        if all(candidate.end <= other.start or other.end <= candidate.start for other in found):
            found.append(candidate)
    return sorted(found, key=lambda one: one.start)


def _candidates(text: str) -> Iterator[Found]:
    for code, pattern, holds in PATTERNS:
        for match in pattern.finditer(text):
            if holds(match):
                group = 1 if code == "private.account" and match.re.groups else 0  # the number alone, without the word before it
                yield Found(code, match.start(group), match.end(group))


def redact(text: str, known: str = "") -> str:
    """The text with personal data replaced by placeholders that say its kind, in the text's language.

    What also stands in `known` (the question, the sources) stays.
    """
    lang, parts, end = detect(text), [], 0
    for one in leaked(text, known):
        parts += [text[end : one.start], PLACEHOLDERS[one.code][lang]]
        end = one.end
    return "".join([*parts, text[end:]])


def leaked(text: str, known: str = "") -> list[Found]:
    """Personal data of a text that does not stand in `known`, however it is written there."""
    found = find(text)
    if not (found and known):
        return found
    there = {_bare(half_width(known)[one.start : one.end]) for one in find(known)}
    return [one for one in found if _bare(half_width(text)[one.start : one.end]) not in there]


def _bare(text: str) -> str:
    return re.sub(r"[\s()-]", "", text).lower()
