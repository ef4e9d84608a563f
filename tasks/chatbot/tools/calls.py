"""A call of a tool, and what came of it."""

import hashlib
from dataclasses import dataclass
from typing import Any

SEARCHES = ("search_documents", "search_web")  # tools that look into the index


@dataclass(frozen=True)
class Called:
    """The model calls a tool."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Passage:
    """A chunk of the index that a result shows, without its text. A `restricted` one is not for everybody."""

    chunk_id: str
    document: str
    text_sha256: str
    restricted: bool

    @classmethod
    def of(cls, chunk_id: str, document: str, text: str, restricted: bool) -> "Passage":
        return cls(chunk_id, document, hashlib.sha256(text.encode()).hexdigest(), restricted)


@dataclass(frozen=True)
class Told:
    """What a tool gives that shows parts of the index: its text, and which parts, so that their labels go where the text goes."""

    text: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Returned:
    """What a tool gave, or, not `ok`, the message about what went wrong that the model sees in its place."""

    name: str
    ok: bool
    content: str
    passages: tuple[Passage, ...] = ()
