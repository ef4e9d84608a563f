"""The values in a question that arguments may take: a small model copies better than it invents."""

import re
import unicodedata
from typing import Any

from tasks.chatbot.tools.language import languages
from tasks.chatbot.tools.schema import MAX_DIGITS, Schema, kind_of

NUMBER = re.compile(r"(?<![A-Za-z0-9_.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\d.])(?<![A-Za-z])-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,2}(?!\w))?")
PERCENT = re.compile(rf"\s*(?:%|{'|'.join(language.PERCENT for language in languages().values())})")
SCALES = {word: factor for language in languages().values() for word, factor in language.SCALES.items()}
SCALED = re.compile(rf"\s*({'|'.join(SCALES) or '(?!)'})(?![a-z])", re.I)
LONE = "".join(language.LONE for language in languages().values())  # a set of characters each of which may be a word


def numbers_in(question: str) -> list[int | float]:
    """The numbers of a question, in order: figures, those with a scale («5 million», 3万5千) multiplied, percentages also as fractions, then those
    in words («two adults», 六百万円)."""
    text = unicodedata.normalize("NFKC", question)
    for language in languages().values():
        text = language.plain_figures(text)
    numbers: list[int | float] = []
    for match in NUMBER.finditer(text):
        value = _number(match[0].replace(",", ""))
        if abs(value) > 10**MAX_DIGITS:
            continue
        if match[0].startswith("-") and text[match.start() - 1 : match.start()].strip() and text[match.start() - 1] not in "(,=[":
            value = -value  # a range or a hyphen, no sign
        scaled = SCALED.match(text, match.end())
        numbers.append(_whole(value * SCALES[scaled[1].lower()]) if scaled else value)
        if PERCENT.match(text, match.end()):
            numbers.append(_whole(round(value / 100, 10)))
    return numbers + [number for language in languages().values() for number in language.numbers_in_words(text)]


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
    """Whether a text names a choice. A single letter says nothing, a single character that may be a word something where it stands alone."""
    if not isinstance(value, str) or (len(value) == 1 and not (LONE and re.match(f"[{LONE}]", value))):
        return False
    beside = "a-z" if len(value) > 1 else LONE
    name, text = (unicodedata.normalize("NFKC", one).lower() for one in (value, text))
    return bool(re.search(rf"(?<![{beside}]){re.escape(name)}(?![{beside}])", text))


def fits(number: int | float, schema: Schema) -> bool:
    """Whether an enforceable schema of a number allows it."""
    low, high = schema.get("minimum", number), schema.get("maximum", number)
    strictly = schema.get("exclusiveMinimum", number - 1) < number < schema.get("exclusiveMaximum", number + 1)
    return (schema["type"] == "number" or isinstance(number, int)) and low <= number <= high and strictly
