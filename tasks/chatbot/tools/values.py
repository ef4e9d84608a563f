"""The values in a question that arguments may take: a small model copies better than it invents."""

import re
import unicodedata
from typing import Any

from tasks.chatbot.tools.schema import MAX_DIGITS, Schema, kind_of

NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\d.])(?<![A-Za-z])-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,2}(?!\w))?")
PERCENT = re.compile(r"\s*(?:%|percent|パーセント)")
SCALE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "万": 10**4, "億": 10**8, "k": 10**3}
SCALED = re.compile(r"\s*(thousand|million|billion|trillion|万|億|k)(?![a-z])", re.I)
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


def numbers_in(question: str) -> list[int | float]:
    """The numbers of a question, in order: figures, those with a scale («5 million», 3万) multiplied, percentages also as fractions, then words."""
    text = unicodedata.normalize("NFKC", question)
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
    return found


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
    return _narrowed(schema, numbers_in(question), question.lower())


def _narrowed(schema: Schema, numbers: list[int | float], text: str) -> Schema:
    kind = schema.get("type")
    if kind == "object":
        return schema | {"properties": {name: _narrowed(part, numbers, text) for name, part in schema["properties"].items()}}
    if kind == "array":
        return schema | {"items": _narrowed(schema["items"], numbers, text)}
    if "enum" in schema:
        return {"enum": [value for value in schema["enum"] if says(value, text)] or schema["enum"]}
    fits = [number for number in dict.fromkeys(numbers) if kind in ("integer", "number") and _fits(number, schema)]
    return {"enum": fits} if fits else schema


def says(value: Any, text: str) -> bool:
    """Whether a text (in lower case) names a choice."""
    return isinstance(value, str) and len(value) > 1 and bool(re.search(rf"(?<![a-z]){re.escape(value.lower())}(?![a-z])", text))


def _fits(number: int | float, schema: Schema) -> bool:
    low, high = schema.get("minimum", number), schema.get("maximum", number)
    strictly = schema.get("exclusiveMinimum", number - 1) < number < schema.get("exclusiveMaximum", number + 1)
    return (schema["type"] == "number" or isinstance(number, int)) and low <= number <= high and strictly
