"""Chats in the catalog: what was said, how each answer ended, what people thought of it, and what the safety filters decided.

Whose a conversation is decides inside the SQL who reads, rates and deletes it: an id alone opens nothing. The text of a source is not
copied into every message that cites it; it is looked up in `chunks` when a conversation is read, and its hash tells it from a later one.
A write of the catalog copies its file, so a server with many users keeps turns through `ChatLog`, which writes many in one transaction.
"""

import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import duckdb

from storage.catalog import Catalog, insert, utc_now
from storage.home import Home, StorageError

Row = dict[str, Any]
TITLE = 60  # characters of the first question that name a conversation without a title
MESSAGE = (
    "message_id, turn_id, ordinal, role, content, lang, reason, refused, quoted, confidence, sources::VARCHAR AS sources, "
    "sentences::VARCHAR AS sentences, calls::VARCHAR AS calls, tokens, seconds, ts"
)
JSON_COLUMNS = ("sources", "sentences", "calls")


class UnknownChat(StorageError, LookupError):
    """There is no such conversation or answer for this owner: it is not there, or it is somebody else's."""


@dataclass
class Batch:
    """Rows on their way into the catalog; messages get their place in the conversation when they are written."""

    conversations: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.conversations) + len(self.messages) + len(self.decisions)

    def extend(self, later: "Batch") -> None:
        self.conversations += later.conversations
        self.messages += later.messages
        self.decisions += later.decisions

    def write(self, home: Home) -> None:
        """All rows in one transaction. Raises: what `Catalog.write` raises."""
        with Catalog.of(home).write() as connection:
            insert(connection, "conversations", self.conversations)
            insert(connection, "messages", _placed(connection, self.messages))
            insert(connection, "safety_decisions", self.decisions)


def _placed(connection: duckdb.DuckDBPyConnection, messages: list[Row]) -> list[Row]:
    """The messages with their ordinals, after those that their conversations have already."""
    wanted = sorted({message["conversation_id"] for message in messages})
    last = dict(
        connection.execute(
            "SELECT conversation_id, max(ordinal) FROM messages WHERE conversation_id IN (SELECT unnest(?)) GROUP BY ALL", [wanted]
        ).fetchall()
    )
    placed = []
    for message in messages:
        last[message["conversation_id"]] = last.get(message["conversation_id"], -1) + 1
        placed.append(message | {"ordinal": last[message["conversation_id"]]})
    return placed


def _conversation_row(model_id: str, index_id: str | None, channel: str, owner: str, title: str) -> Row:
    return {
        "conversation_id": str(uuid.uuid4()),
        "model_id": model_id,
        "index_id": index_id,
        "started": utc_now(),
        "channel": channel,
        "owner": owner,
        "title": title,
    }


def _message_rows(conversation_id: str, turn: Mapping[str, Any]) -> list[Row]:
    """A question and its answer as rows of `messages`. `turn` is a `Turn` of the chatbot as a plain dictionary."""
    common = {"conversation_id": conversation_id, "turn_id": turn["turn_id"], "lang": turn["lang"], "ts": utc_now()}
    sources = [source | {"text_sha256": hashlib.sha256(source["text"].encode()).hexdigest()} for source in turn["sources"]]
    for source in sources:
        del source["text"]
    calls = [{**called, "ok": returned["ok"], "content": returned["content"]} for called, returned in turn["calls"]]
    answer = {
        "content": turn["answer"].strip(),
        "reason": turn["reason"],
        "refused": turn["refused"],
        "quoted": turn["quoted"],
        "confidence": turn["confidence"],
        "sources": _json(sources),
        "sentences": _json(turn["sentences"]),
        "calls": _json(calls),
        "tokens": turn["tokens"],
        "seconds": turn["seconds"],
    }
    return [
        {"message_id": str(uuid.uuid4()), "role": "user", "content": turn["question"]} | common,
        {"message_id": str(uuid.uuid4()), "role": "assistant"} | answer | common,
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _decision_rows(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    return [{"decision_id": str(uuid.uuid4()), "ts": utc_now()} | dict(row) for row in rows]


def begin_conversation(home: Home, model_id: str, index_id: str | None, channel: str, owner: str = "", title: str = "") -> str:
    """Enter a conversation; returns its id. Without a title, its first question names it."""
    row = _conversation_row(model_id, index_id, channel, owner, title)
    Batch(conversations=[row]).write(home)
    return str(row["conversation_id"])


def keep_turn(home: Home, conversation_id: str, turn: Mapping[str, Any]) -> None:
    """Add a question and its answer to a conversation. `turn` is a `Turn` of the chatbot as a plain dictionary."""
    Batch(messages=_message_rows(conversation_id, turn)).write(home)


def keep_decisions(home: Home, rows: Sequence[Mapping[str, Any]]) -> None:
    """Log what the safety filters decided: `turn_id`, `side` (input, output, document), `code`, `blocked`, `score`, `lang`."""
    Batch(decisions=_decision_rows(rows)).write(home)


def conversations(home: Home, owner: str) -> list[Row]:
    """The owner's conversations in which something was said, the latest first, with title, number of turns and time of the last message."""
    return Catalog.of(home).query(
        f"""SELECT c.conversation_id, any_value(c.model_id) AS model_id, any_value(c.index_id) AS index_id, any_value(c.channel) AS channel,
                   any_value(c.started) AS started, max(m.ts) AS last, count(DISTINCT m.turn_id) AS turns,
                   coalesce(nullif(any_value(c.title), ''), left(arg_min(m.content, m.ordinal), {TITLE})) AS title
            FROM conversations c JOIN messages m USING (conversation_id)
            WHERE coalesce(c.owner, '') = ? GROUP BY c.conversation_id ORDER BY last DESC, c.conversation_id""",
        [owner],
    )


def messages(home: Home, conversation_id: str, owner: str) -> list[Row]:
    """The messages of a conversation in order; answers with sources, checked sentences, tool calls, rating and correction.

    Raises:
        UnknownChat: it is not this owner's.
    """
    with Catalog.of(home).read() as connection:
        _require(connection, conversation_id, owner)
        rows = _rows(
            connection,
            f"""SELECT {MESSAGE}, rating, correction FROM messages
                LEFT JOIN (SELECT turn_id AS rated, rating, correction FROM feedback) ON rated = turn_id AND role = 'assistant'
                WHERE conversation_id = ? ORDER BY ordinal""",
            [conversation_id],
        )
        _with_texts(connection, [source for row in rows for source in row["sources"]])
    return rows


def rated_conversations(home: Home) -> list[Row]:
    """Every finished turn of the conversations in which an answer was rated or corrected, in order: what training data is made of.

    Each has its owner, question, answer, how it ended, its checked sentences and sources, `rating` and `correction` (None where nobody said anything) and `flags`, the
    codes with which the safety filters blocked something of it or found an injection.
    """
    with Catalog.of(home).read() as connection:
        return _rows(
            connection,
            """SELECT c.conversation_id, coalesce(c.owner, '') AS owner, a.turn_id, q.content AS question, a.content AS answer, a.lang, a.reason, a.refused, a.quoted,
                      a.sentences::VARCHAR AS sentences, a.sources::VARCHAR AS sources, f.rating, f.correction, f.ts AS rated, coalesce(d.flags, []) AS flags
               FROM messages a JOIN messages q ON q.turn_id = a.turn_id AND q.role = 'user' JOIN conversations c ON c.conversation_id = a.conversation_id
               LEFT JOIN feedback f ON f.turn_id = a.turn_id
               LEFT JOIN (SELECT turn_id, list(DISTINCT code ORDER BY code) AS flags FROM safety_decisions
                          WHERE blocked OR code LIKE 'injection%' GROUP BY turn_id) d ON d.turn_id = a.turn_id
               WHERE a.role = 'assistant' AND a.conversation_id IN (SELECT conversation_id FROM messages JOIN feedback USING (turn_id))
               ORDER BY c.started, c.conversation_id, a.ordinal""",
        )


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """The rows of a SELECT as dictionaries, with the columns that hold JSON as what they hold."""
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        row |= {name: json.loads(row[name] or "[]") for name in JSON_COLUMNS if name in row}
    return rows


def _require(connection: duckdb.DuckDBPyConnection, conversation_id: str, owner: str) -> None:
    if not connection.execute(
        "SELECT 1 FROM conversations WHERE conversation_id = ? AND coalesce(owner, '') = ?", [conversation_id, owner]
    ).fetchone():
        raise UnknownChat(f"there is no conversation {conversation_id!r} of yours; the list of conversations has those that there are")


def _with_texts(connection: duckdb.DuckDBPyConnection, sources: list[Row]) -> None:
    """Put the text of each chunk into its source; "" where the catalog no longer has it."""
    wanted = sorted({source["chunk_id"] for source in sources})
    texts = dict(
        connection.execute(
            "SELECT chunk_id, any_value(text) FROM chunks WHERE chunk_id IN (SELECT unnest(?)) GROUP BY ALL", [wanted]
        ).fetchall()
    )
    for source in sources:
        source["text"] = texts.get(source["chunk_id"], "")


def delete_conversation(home: Home, conversation_id: str, owner: str) -> None:
    """Remove a conversation with its messages, ratings and safety decisions.

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
        found = connection.execute(
            """SELECT message_id FROM messages JOIN conversations c USING (conversation_id)
               WHERE turn_id = ? AND role = 'assistant' AND coalesce(c.owner, '') = ?""",
            [turn_id, owner],
        ).fetchone()
        if found is None:
            raise UnknownChat(f"there is no answer {turn_id!r} in your conversations")
        connection.execute("DELETE FROM feedback WHERE turn_id = ?", [turn_id])
        row = {"feedback_id": str(uuid.uuid4()), "message_id": found[0], "turn_id": turn_id, "rating": rating, "correction": correction}
        insert(connection, "feedback", [row | {"ts": utc_now()}] if rating or correction else [])


class ChatLog:
    """Keeps turns from many threads: each is taken at once and written with the others of the same moment, by a thread of its own.

    What was taken is lost only if the process is killed within `delay` seconds, or if the catalog cannot be written for so long that more
    than `limit` rows wait. Reads and ratings write what waits first, so everybody sees the turn that just ended. Close it, or use it in a `with`.
    """

    def __init__(self, home: Home, *, delay: float = 0.5, enough: int = 100, limit: int = 20_000, on_log: Callable[[str], object] = print):
        """`delay` is how long a turn may wait for others, in seconds; with `enough` rows waiting they are written at once."""
        self.home, self.delay, self.enough, self.limit, self.on_log = home, delay, enough, limit, on_log
        self.lost = 0  # rows given up because the catalog could not be written
        self._waiting, self._lock, self._writing = Batch(), threading.Lock(), threading.Lock()
        self._on_the_way = 0  # rows that are being written: they come back where that fails
        self._some, self._now, self._ending = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="chat log", daemon=True)
        self._thread.start()

    def begin_conversation(self, model_id: str, index_id: str | None, channel: str, owner: str = "", title: str = "") -> str:
        row = _conversation_row(model_id, index_id, channel, owner, title)
        self._take(Batch(conversations=[row]))
        return str(row["conversation_id"])

    def keep_turn(self, conversation_id: str, turn: Mapping[str, Any]) -> None:
        self._take(Batch(messages=_message_rows(conversation_id, turn)))

    def keep_decisions(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._take(Batch(decisions=_decision_rows(rows)))

    def conversations(self, owner: str) -> list[Row]:
        self.flush()
        return conversations(self.home, owner)

    def messages(self, conversation_id: str, owner: str) -> list[Row]:
        self.flush()
        return messages(self.home, conversation_id, owner)

    def delete_conversation(self, conversation_id: str, owner: str) -> None:
        self.flush()
        delete_conversation(self.home, conversation_id, owner)

    def rate(self, turn_id: str, owner: str, rating: int, correction: str | None = None) -> None:
        self.flush()
        rate(self.home, turn_id, owner, rating, correction)

    def flush(self) -> None:
        """Write what waits. Raises what `Catalog.write` raises; then it goes on waiting."""
        with self._writing:
            with self._lock:
                batch, self._waiting = self._waiting, Batch()
                self._on_the_way = len(batch)
                self._some.clear()
                self._now.clear()
            if not batch:
                return
            try:
                batch.write(self.home)
            except BaseException:
                with self._lock:
                    batch.extend(self._waiting)
                    self._waiting, self._on_the_way = batch, 0
                    self._some.set()
                raise
            with self._lock:
                self._on_the_way = 0

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._ending.set()
        self._some.set()
        self._now.set()
        self._thread.join()
        self._try_to_write()
        if missing := self.lost + len(self._waiting):
            self.on_log(f"{missing} rows of chats could not be kept")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, batch: Batch) -> None:
        with self._lock:
            if self._on_the_way + len(self._waiting) + len(batch) > self.limit:
                self.lost += len(batch)
                return
            self._waiting.extend(batch)
            self._some.set()
            if len(self._waiting) >= self.enough:
                self._now.set()

    def _write_on(self) -> None:
        while not self._ending.is_set():
            self._some.wait()
            self._now.wait(self.delay)
            if not self._ending.is_set() and not self._try_to_write():
                self._ending.wait(10 * self.delay)

    def _try_to_write(self) -> bool:
        """Whether it worked. A catalog that cannot be written now must not end the chat: it is told, and tried again."""
        try:
            self.flush()
        except (StorageError, OSError, duckdb.Error) as error:
            self.on_log(f"chats cannot be kept for now ({len(self._waiting)} rows wait): {error}")
            return False
        return True
