"""What a client's schema, of a tool or of an answer, may ask for, checked before anything is made of it: a kilobyte can ask for a million fields.

A schema is never unfolded to find out: alternatives multiply, so their number is worked out from the parts (`_size`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.errors import MigakiError

MAX_BYTES = 64_000  # of all tools of a request, as JSON
MAX_TOOLS = 64
MAX_NAME = 64  # characters, as OpenAI's API has it
MAX_DEPTH = 12  # schemas in one another
MAX_SIZE = 2_000  # schemas of one tool after alternatives are unfolded
MAX_FIELDS = 100  # properties of an object, and names in `required`
MAX_CHOICES = 500  # values of an enumeration
MAX_ALTERNATIVES = 16
MAX_COUNT = {"minItems": 32, "minLength": 120}  # what must be there has to be written
NAMED = ("$defs", "definitions", "properties", "patternProperties")  # schemas by name
SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems")
COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class UnusableSchema(MigakiError):
    """`field` is where in the schema it stands."""

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True)
class Place:
    """A schema inside another one, and where."""

    path: str
    schema: dict[str, Any]
    depth: int

    def below(self, name: str, schema: Any) -> "Place":
        path = f"{self.path}.{name}"
        if not isinstance(schema, dict):
            raise UnusableSchema(path, f"{_short(schema)} is no schema; an object is expected")
        if self.depth >= MAX_DEPTH:
            raise UnusableSchema(path, f"it lies deeper than {MAX_DEPTH} schemas, the most accepted")
        return Place(path, schema, self.depth + 1)


def check_schema(schema: Any, path: str) -> None:
    """Refuse a schema that asks for too much, or is none.

    Args:
        path: its name in messages.

    Raises:
        UnusableSchema: names the keyword, its value and what would be accepted.
    """
    if not isinstance(schema, dict):
        raise UnusableSchema(path, f"{_short(schema)} is no schema; an object is expected")
    if (size := _size(Place(path, schema, 0))) > MAX_SIZE:
        raise UnusableSchema(path, f"its alternatives unfold to {size:,} schemas; at most {MAX_SIZE:,} are accepted")


def _size(place: Place) -> int:
    """How many schemas it unfolds to, itself included; its keywords are checked on the way."""
    _check_keywords(place)
    kinds = place.schema.get("type")
    copies = max(1, len(kinds)) if isinstance(kinds, list) else 1
    copies *= max(1, place.schema.get("minItems") or 0)
    return copies * (1 + sum(_size(part) for part in parts(place)))


def parts(place: Place) -> Iterator[Place]:
    """The schemas directly inside one; what it refers to is a part of the whole, not of it."""
    for keyword in NAMED:
        for name, part in (place.schema.get(keyword) or {}).items():
            yield place.below(f"{keyword}.{name}", part)
    for keyword in ("items", "additionalProperties"):
        if not isinstance(place.schema.get(keyword), bool | None):
            yield place.below(keyword, place.schema[keyword])
    for keyword in SEVERAL:
        for number, part in enumerate(place.schema.get(keyword) or []):
            yield place.below(f"{keyword}.{number}", part)


def _check_keywords(place: Place) -> None:
    schema = place.schema
    _check_list(place, "required", MAX_FIELDS, str)
    _check_list(place, "enum", MAX_CHOICES)
    for keyword in SEVERAL:
        _check_list(place, keyword, MAX_ALTERNATIVES, dict)
    for keyword in NAMED:
        named = schema.get(keyword)
        if named is not None and (not isinstance(named, dict) or len(named) > MAX_FIELDS):
            raise UnusableSchema(f"{place.path}.{keyword}", f"{_short(named)}; an object of at most {MAX_FIELDS} schemas is accepted")
    kind = schema.get("type")
    if not (
        kind is None or isinstance(kind, str) or (isinstance(kind, list) and len(kind) <= 8 and all(isinstance(one, str) for one in kind))
    ):
        raise UnusableSchema(f"{place.path}.type", f"{_short(kind)} is no type; a name, or a list of at most 8 names is accepted")
    for keyword in COUNTS:
        _check_count(place, keyword)
    for keyword in LIMITS:
        _check_limit(place, keyword)
    _check_order(place, "minItems", "maxItems")
    _check_order(place, "minLength", "maxLength")
    _check_order(place, "minimum", "maximum")


def _check_list(place: Place, keyword: str, most: int, of: type = object) -> None:
    value = place.schema.get(keyword)
    if value is None:
        return
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, of) for one in value):
        what = "names" if of is str else "schemas" if of is dict else "values"
        raise UnusableSchema(f"{place.path}.{keyword}", f"{_short(value)}; a list of at most {most} {what} is accepted")


def _check_count(place: Place, keyword: str) -> None:
    value = place.schema.get(keyword)
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnusableSchema(f"{place.path}.{keyword}", f"{_short(value)}; a whole number from 0 on is accepted")
    if value > MAX_COUNT.get(keyword, math.inf):
        raise UnusableSchema(f"{place.path}.{keyword}", f"{_short(value)}; at most {MAX_COUNT[keyword]} is accepted")


def _check_limit(place: Place, keyword: str) -> None:
    value = place.schema.get(keyword)
    if value is not None and (not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value))):
        raise UnusableSchema(f"{place.path}.{keyword}", f"{_short(value)}; a number is accepted")


def _check_order(place: Place, low: str, high: str) -> None:
    least, most = place.schema.get(low), place.schema.get(high)
    if least is not None and most is not None and least > most:
        raise UnusableSchema(f"{place.path}.{low}", f"{_short(least)} is more than {high}, {_short(most)}: nothing could fit")


def _short(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return repr(value)[:60]
