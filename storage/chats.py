"""Chats in the catalog: what was said, how each answer ended, what people thought of it, and what the safety filters decided.

Whose a conversation is decides inside the SQL who reads, rates and deletes it: an id alone opens nothing. The text of a source is not
copied into every message that cites it; it is looked up in `chunks` when a conversation is read, and its hash tells it from a later one.
Chats are entered through `storage.chat_log`.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from storage.audit import Who, note
from storage.catalog import JSON, Catalog, insert, select, utc_now
from storage.home import Home, StorageError

TITLE = 60  # characters of the first question that name a conversation without a title


class UnknownChat(StorageError, LookupError):
    """There is no such conversation or answer for this owner: it is not there, or it is somebody else's."""


@dataclass(frozen=True)
class ListedConversation:
    """A conversation as a list shows it; `last` is the time of its last message."""

    conversation_id: str
    model_id: str
    index_id: str | None
    release_id: str | None
    unreleased: str | None
    channel: str
    started: datetime
    last: datetime
    turns: int
    title: str


@dataclass(frozen=True)
class KeptMessage:
    """A question (its `role` is "user") or an answer. Sources, checked sentences and tool calls are those of the answer; a question has none."""

    message_id: str
    turn_id: str | None
    ordinal: int
    role: str
    content: str
    lang: str | None
    reason: str | None
    finish: str | None
    refused: str | None
    quoted: bool | None
    confidence: float | None
    sources: list[dict[str, Any]] = field(metadata=JSON)
    sentences: list[dict[str, Any]] = field(metadata=JSON)
    calls: list[dict[str, Any]] = field(metadata=JSON)
    tokens: int | None
    seconds: float | None
    release_id: str | None
    index_id: str | None
    unreleased: str | None
    ts: datetime
    rating: int | None
    correction: str | None


@dataclass(frozen=True)
class RatedTurn:
    """A finished turn: rating and correction are None where nobody said anything. `flags` are the codes with which the safety filters blocked
    something of it, or found an injection."""

    conversation_id: str
    owner: str
    turn_id: str
    question: str
    answer: str
    lang: str
    reason: str
    finish: str
    refused: str
    quoted: bool
    sentences: list[dict[str, Any]] = field(metadata=JSON)
    sources: list[dict[str, Any]] = field(metadata=JSON)
    calls: list[dict[str, Any]] = field(metadata=JSON)
    rating: int | None
    correction: str | None
    rated: datetime | None
    flags: list[str]


def conversations(home: Home, owner: str) -> list[ListedConversation]:
    """The owner's conversations in which something was said, the latest first."""
    return Catalog.of(home).select(
        ListedConversation,
        f"""FROM (SELECT c.conversation_id, any_value(c.model_id) AS model_id, any_value(c.index_id) AS index_id,
                         any_value(c.release_id) AS release_id, any_value(c.unreleased) AS unreleased, any_value(c.channel) AS channel,
                         any_value(c.started) AS started, max(m.ts) AS last, count(DISTINCT m.turn_id) AS turns,
                         coalesce(nullif(any_value(c.title), ''), left(arg_min(m.content, m.ordinal), {TITLE})) AS title
                  FROM conversations c JOIN messages m USING (conversation_id)
                  WHERE coalesce(c.owner, '') = ? GROUP BY c.conversation_id) ORDER BY last DESC, conversation_id""",
        [owner],
    )


def messages(home: Home, conversation_id: str, owner: str) -> list[KeptMessage]:
    """The messages of a conversation in order; answers with sources, checked sentences, tool calls, rating and correction.

    Raises:
        UnknownChat: it is not this owner's.
    """
    with Catalog.of(home).read() as connection:
        _require(connection, conversation_id, owner)
        said = select(
            connection,
            KeptMessage,
            """FROM (SELECT m.* REPLACE (coalesce(sources::VARCHAR, '[]') AS sources, coalesce(sentences::VARCHAR, '[]') AS sentences,
                                         coalesce(calls::VARCHAR, '[]') AS calls), f.rating, f.correction
                     FROM messages m LEFT JOIN feedback f ON f.turn_id = m.turn_id AND m.role = 'assistant'
                     WHERE conversation_id = ?) ORDER BY ordinal""",
            [conversation_id],
        )
        _with_texts(connection, [source for message in said for source in message.sources])
    return said


def rated_conversations(home: Home) -> list[RatedTurn]:
    """Every finished turn of the conversations in which an answer was rated or corrected, in order: what training data is made of."""
    return Catalog.of(home).select(
        RatedTurn,
        """FROM (SELECT c.conversation_id, c.started, coalesce(c.owner, '') AS owner, a.ordinal, a.turn_id, q.content AS question, a.content AS answer,
                        a.lang, a.reason, a.finish, a.refused, a.quoted, coalesce(a.sentences::VARCHAR, '[]') AS sentences,
                        coalesce(a.sources::VARCHAR, '[]') AS sources, coalesce(a.calls::VARCHAR, '[]') AS calls, f.rating, f.correction, f.ts AS rated, coalesce(d.flags, []) AS flags
                 FROM messages a JOIN messages q ON q.turn_id = a.turn_id AND q.role = 'user'
                 JOIN conversations c ON c.conversation_id = a.conversation_id LEFT JOIN feedback f ON f.turn_id = a.turn_id
                 LEFT JOIN (SELECT turn_id, list(DISTINCT code ORDER BY code) AS flags FROM safety_decisions
                            WHERE blocked OR code LIKE 'injection%' GROUP BY turn_id) d ON d.turn_id = a.turn_id
                 WHERE a.role = 'assistant' AND a.conversation_id IN (SELECT conversation_id FROM messages JOIN feedback USING (turn_id)))
           ORDER BY started, conversation_id, ordinal""",
    )


def _require(connection: duckdb.DuckDBPyConnection, conversation_id: str, owner: str) -> None:
    if not connection.execute(
        "SELECT 1 FROM conversations WHERE conversation_id = ? AND coalesce(owner, '') = ?", [conversation_id, owner]
    ).fetchone():
        raise UnknownChat(f"there is no conversation {conversation_id!r} of yours; the list of conversations has those that there are")


def _with_texts(connection: duckdb.DuckDBPyConnection, sources: list[dict[str, Any]]) -> None:
    """Put the text of each chunk into its source; "" where the catalog no longer has it."""
    wanted = sorted({source["chunk_id"] for source in sources})
    texts = dict(
        connection.execute(
            "SELECT chunk_id, any_value(text) FROM chunks WHERE chunk_id IN (SELECT unnest(?)) GROUP BY ALL", [wanted]
        ).fetchall()
    )
    for source in sources:
        source["text"] = texts.get(source["chunk_id"], "")


def delete_conversation(home: Home, conversation_id: str, owner: str, who: Who) -> None:
    """Remove a conversation with its messages, ratings and safety decisions; that it was there, and who removed it, stays in `audit`.

    Raises:
        UnknownChat: it is not this owner's.
    """
    turns = "(SELECT turn_id FROM messages WHERE conversation_id = ? AND turn_id IS NOT NULL)"
    with Catalog.of(home).write() as connection:
        _require(connection, conversation_id, owner)
        connection.execute(f"DELETE FROM feedback WHERE turn_id IN {turns}", [conversation_id])
        connection.execute(f"DELETE FROM safety_decisions WHERE turn_id IN {turns}", [conversation_id])
        connection.execute("DELETE FROM messages WHERE conversation_id = ?", [conversation_id])
        connection.execute("DELETE FROM conversations WHERE conversation_id = ?", [conversation_id])
        note(connection, who, "delete conversation", conversation_id)


def rate(home: Home, turn_id: str, owner: str, rating: int, correction: str | None = None) -> None:
    """Say what an answer was worth: 1 good, -1 bad, 0 takes it back; `correction` is what would have been better.

    It replaces what was said of that answer before.

    Raises:
        UnknownChat: there is no such answer in the owner's conversations.
        StorageError: the rating is another number.
    """
    if rating not in (-1, 0, 1):
        raise StorageError(f"a rating is 1 (good), -1 (bad) or 0 (taken back), not {rating!r}")
    correction = (correction or "").strip() or None
    with Catalog.of(home).write() as connection:
        answer = connection.execute(
            """SELECT message_id FROM messages JOIN conversations c USING (conversation_id)
               WHERE turn_id = ? AND role = 'assistant' AND coalesce(c.owner, '') = ?""",
            [turn_id, owner],
        ).fetchone()
        if answer is None:
            raise UnknownChat(f"there is no answer {turn_id!r} in your conversations")
        connection.execute("DELETE FROM feedback WHERE turn_id = ?", [turn_id])
        row = {"feedback_id": str(uuid.uuid4()), "message_id": answer[0], "turn_id": turn_id, "rating": rating, "correction": correction}
        insert(connection, "feedback", [row | {"ts": utc_now()}] if rating or correction else [])
