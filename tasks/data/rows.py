"""One row as it is read: what was read of it is noted, so that what nothing reads can be named."""

import json
import math
from typing import Any


class Malformed(ValueError):
    """Why a row cannot be used."""


class LeftOut(ValueError):
    """Why a row that is right is not used: (reason, detail)."""


class Fields(dict[str, Any]):
    """The fields of a row. Asking whether there is one is not reading it.

    Attributes:
        read: names of the fields that were read.
        notes: what was done to the row, to be counted.
        format: what the row was told to be.
    """

    def __init__(self, row: dict[str, Any]):
        super().__init__(row)
        self.read: set[str] = set()
        self.notes: list[str] = []
        self.format = ""

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    @property
    def unread(self) -> list[str]:
        """Fields with something in them that nothing has read."""
        return [name for name in self if name not in self.read and super(Fields, self).get(name) not in (None, "", [], {})]


def text_of(value: Any) -> str | None:
    """A cell as text, where it is one: numbers and truth values as JSON writes them. None for anything else."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    return None


def field(row: dict[str, Any], name: str) -> str:
    """The text of a field.

    Raises:
        Malformed: it is missing, empty or no text.
    """
    text = text_of(row.get(name))
    if not text:
        raise Malformed(f"the field {name!r} is {'missing' if name not in row else 'empty or no text'}")
    return text


def list_of(row: dict[str, Any], *names: str) -> list[Any]:
    """The first of the fields that is there; a cell of a CSV file holds a list as JSON. Empty where none is.

    Raises:
        Malformed: it is no list.
    """
    value: Any = next((row[name] for name in names if row.get(name)), [])
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list):
        raise Malformed(f"the field {' or '.join(map(repr, names))} is no list")
    return value


def texts_of(row: dict[str, Any], name: str) -> list[str]:
    """The texts of a field that holds a list of them, read as `list_of` reads it. Empty where it is missing.

    Raises:
        Malformed: it is no list, or holds something that is no text, or an empty one.
    """
    texts = list_of(row, name)
    if wrong := [text for text in texts if not isinstance(text, str) or not text.strip()]:
        raise Malformed(f"the field {name!r} holds {wrong[0]!r}; a list of texts is expected, none of them empty")
    return [text.strip() for text in texts]


def number(row: dict[str, Any], name: str, default: float) -> float:
    """Raises:
    Malformed: it is no number of at least 0.
    """
    value = row.get(name)
    try:
        found = default if value in (None, "") else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise Malformed(f"{name} is {value!r}, a number of at least 0 expected")
    return found
