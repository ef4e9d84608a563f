"""A call of a tool, and what came of it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Called:
    """The model calls a tool."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Returned:
    """What a tool gave, or, not `ok`, the message about what went wrong that the model sees in its place."""

    name: str
    ok: bool
    content: str
