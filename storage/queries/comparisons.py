"""Pairs of answers that a person compared: rows of `feedback` with a choice. Ratings of single answers are `storage.chats`'."""

from dataclasses import asdict, dataclass, field
from datetime import datetime

from storage.catalog import JSON, Catalog, insert
from storage.home import Home


@dataclass(frozen=True)
class ComparedPair:
    """Two models' answers to the same conversation, and which one was better: "a", "b" or "tie"."""

    feedback_id: str
    session_id: str
    answer_a: str
    answer_b: str
    model_a: str
    model_b: str
    choice: str
    ts: datetime
    messages: list[dict[str, str]] = field(metadata=JSON)


def keep_pair(home: Home, pair: ComparedPair) -> None:
    """Enter it, at once."""
    with Catalog.of(home).write() as connection:
        insert(connection, "feedback", [asdict(pair)])


def forget_pair(home: Home, feedback_id: str) -> None:
    """Take back what was entered; nothing happens where nothing was."""
    with Catalog.of(home).write() as connection:
        connection.execute("DELETE FROM feedback WHERE feedback_id = ?", [feedback_id])


def compared_pairs(home: Home) -> list[ComparedPair]:
    """All pairs, in the order in which they were compared."""
    return Catalog.of(home).select(ComparedPair, "FROM feedback WHERE choice IS NOT NULL ORDER BY ts, feedback_id")
