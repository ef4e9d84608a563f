"""The values in a question that arguments may take: a small model copies better than it invents."""

import re
import unicodedata
from typing import Any

from tasks.chatbot.tools.schema import MAX_DIGITS, Schema, kind_of

NUMBER = re.compile(r"(?<![A-Za-z0-9_.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\d.])(?<![A-Za-z])-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,2}(?!\w))?")
PERCENT = re.compile(r"\s*(?:%|percent|パーセント)")
SCALE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "k": 10**3}
SCALED = re.compile(r"\s*(thousand|million|billion|trillion|k)(?![a-z])", re.I)
WORDS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "dozen": 12,
}
WORD = re.compile(rf"\b({'|'.join(WORDS)})\b", re.I)
DIGITS = {kanji: value for value, kanji in enumerate("〇一二三四五六七八九")}
TENS, MYRIADS = {"十": 10, "百": 100, "千": 1000}, {"万": 10**4, "億": 10**8, "兆": 10**12}
NUMERALS = f"[{''.join([*DIGITS, *TENS, *MYRIADS])}]"
COUNTERS = (
    "人前|人分|名様|日間|週間|[かカヶケ]月|時間|グラム|キロ|メートル|センチ|リットル|ドル|ユーロ|パーセント|ページ|つ|人|個|枚|本|回|名|泊|冊|台|匹|頭|羽|歳|才|円|"
    "分(?![なに])|秒|時|日|年|月|階|杯|点|箱|皿|袋|倍|割|度|号|着|軒|件|足|通|曲|話|巻|問|坪|畳|株|票|文字|行|列|歩|周|束|缶|切れ|玉|口|学期|番目"
)
MIXED = re.compile(r"(?<!\d)(?<!\d,)\d[\d,]*(?:\.\d+)?[千万億兆]+(?:\d[\d,]*(?:\.\d+)?[千万億兆]*)*")  # 1万5千, 2億3000万
LONE = re.compile(r"[\u4e00-\u9fff]")
PART = re.compile(r"([\d.]+)(千?)([万億兆]?)")
# A single kanji is a number before a counter alone (三人, not 三角形); more of them are one unless a word goes on (二十四節気).
KANJI = re.compile(rf"{NUMERALS}+(?=\s*(?:{COUNTERS}))|{NUMERALS}{{2,}}(?![\u4e00-\u9fff])")


def numbers_in(question: str) -> list[int | float]:
    """The numbers of a question, in order: figures, those with a scale («5 million», 3万5千) multiplied, percentages also as fractions, then words
    and numbers in kanji (六百万円, 二人)."""
    text = MIXED.sub(lambda match: str(mixed_number(match[0])), unicodedata.normalize("NFKC", question))
    found: list[int | float] = []
    for match in NUMBER.finditer(text):
        value = _number(match[0].replace(",", ""))
        if abs(value) > 10**MAX_DIGITS:
            continue
        if match[0].startswith("-") and text[match.start() - 1 : match.start()].strip() and text[match.start() - 1] not in "(,=[":
            value = -value  # a range or a hyphen, no sign
        scaled = SCALED.match(text, match.end())
        found.append(_whole(value * SCALE[scaled[1].lower()]) if scaled else value)
        if PERCENT.match(text, match.end()):
            found.append(_whole(round(value / 100, 10)))
    found += [WORDS[word.lower()] for word in WORD.findall(text)]
    runs = [match[0] for match in KANJI.finditer(text) if not text[match.start() - 1 : match.start()].isdecimal()]
    return found + [kanji_number(run) for run in runs if len(run) <= MAX_DIGITS]


def mixed_number(text: str) -> int | float:
    """The value of figures with units in kanji (1万5千, 2億3000万)."""
    total = below = 0
    for figures, thousand, myriad in PART.findall(text.replace(",", "")):
        below += _number(figures) * (1000 if thousand else 1)
        if myriad:
            total, below = total + below * MYRIADS[myriad], 0
    return _whole(total + below)


def kanji_number(text: str) -> int:
    """The value of a number in kanji, positional (二〇二四) or with units (二千二十四, 六百万)."""
    if not any(kanji in TENS or kanji in MYRIADS for kanji in text):
        return int("".join(str(DIGITS[kanji]) for kanji in text))
    total = below = digit = 0  # complete myriads, what is below the next, the digit before its unit
    for kanji in text:
        if kanji in MYRIADS:
            total, below, digit = total + (below + digit or 1) * MYRIADS[kanji], 0, 0
        elif kanji in TENS:
            below, digit = below + (digit or 1) * TENS[kanji], 0
        else:
            digit = DIGITS[kanji]
    return total + below + digit


def _number(text: str) -> int | float:
    return float(text) if re.search("[.eE]", text) or len(text) > 4 * MAX_DIGITS else int(text)


def _whole(value: int | float) -> int | float:
    return int(value) if float(value).is_integer() and isinstance(value, float) and abs(value) < 1e15 else value


def numbers_needed(schema: Schema) -> int:
    """How many numbers a call cannot do without: one for each that is required, two for a list of them."""
    required = [part for name, part in schema.get("properties", {}).items() if name in schema.get("required", []) and "enum" not in part]
    kinds = [kind_of(part) for part in required]
    lists = [
        part
        for part, kind in zip(required, kinds, strict=True)
        if kind == "array" and kind_of(part.get("items") or {}) in ("integer", "number")
    ]
    return sum(kind in ("integer", "number") for kind in kinds) + 2 * len(lists)


def narrowed(schema: Schema, question: str) -> Schema:
    """An enforceable schema whose numbers and choices must be those of the question, where it has any that fit: only fewer values are valid."""
    return _narrowed(schema, numbers_in(question), question)


def _narrowed(schema: Schema, numbers: list[int | float], text: str) -> Schema:
    kind = schema.get("type")
    if kind == "object":
        return schema | {"properties": {name: _narrowed(part, numbers, text) for name, part in schema["properties"].items()}}
    if kind == "array":
        return schema | {"items": _narrowed(schema["items"], numbers, text)}
    if "enum" in schema:
        return {"enum": [value for value in schema["enum"] if says(value, text)] or schema["enum"]}
    fitting = [number for number in dict.fromkeys(numbers) if kind in ("integer", "number") and fits(number, schema)]
    return {"enum": fitting} if fitting else schema


def says(value: Any, text: str) -> bool:
    """Whether a text names a choice. A single letter says nothing, a single kanji something where it stands alone."""
    if not isinstance(value, str) or (len(value) == 1 and not LONE.match(value)):
        return False
    beside = "a-z" if len(value) > 1 else "\u4e00-\u9fff"
    name, text = (unicodedata.normalize("NFKC", one).lower() for one in (value, text))
    return bool(re.search(rf"(?<![{beside}]){re.escape(name)}(?![{beside}])", text))


def fits(number: int | float, schema: Schema) -> bool:
    """Whether an enforceable schema of a number allows it."""
    low, high = schema.get("minimum", number), schema.get("maximum", number)
    strictly = schema.get("exclusiveMinimum", number - 1) < number < schema.get("exclusiveMaximum", number + 1)
    return (schema["type"] == "number" or isinstance(number, int)) and low <= number <= high and strictly
