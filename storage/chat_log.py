"""Chats on their way into the catalog: one at a time, or through `ChatLog`, which takes turns from many threads.

A write of the catalog copies its file, so a server with many users writes many turns in one transaction; until then they are in the journal.
"""

import hashlib
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

import duckdb

from storage.audit import Who
from storage.catalog import Catalog, insert, utc_now
from storage.chats import KeptMessage, ListedConversation, conversations, delete_conversation, messages, rate
from storage.home import Home, StorageError
from storage.journal import Journal, abandoned

Row = dict[str, Any]
CANNOT_WRITE = (StorageError, OSError, duckdb.Error)


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Conversation:
    """A row of `conversations`. Without a title, its first question names it. `unreleased` says what answers where no release does."""

    model_id: str
    index_id: str | None
    channel: str
    owner: str = ""
    title: str = ""
    release_id: str | None = None
    unreleased: str | None = None
    conversation_id: str = field(default_factory=new_id)
    started: datetime = field(default_factory=utc_now)


@dataclass(frozen=True)
class SafetyDecision:
    """What the safety filters decided about one side of a turn: its input, its output or a document."""

    turn_id: str
    side: str
    code: str
    blocked: bool
    score: float | None = None
    lang: str | None = None


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
        """All rows in one transaction; those that are there already are not entered again. Raises: what `Catalog.write` raises."""
        with Catalog.of(home).write() as connection:
            insert(connection, "conversations", _new(connection, "conversations", self.conversations))
            insert(connection, "messages", _placed(connection, _new(connection, "messages", self.messages)))
            insert(connection, "safety_decisions", _new(connection, "safety_decisions", self.decisions))


MADE_BY = {"release_id": "release", "index_id": "index", "unreleased": "unreleased"}  # columns of an answer, and what a turn calls them
KEYS = {"conversations": "conversation_id", "messages": "message_id", "safety_decisions": "decision_id"}


def _new(connection: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> list[Row]:
    """The rows that the table does not have."""
    key = KEYS[table]
    there = connection.execute(f"SELECT {key} FROM {table} WHERE {key} IN (SELECT unnest(?))", [[row[key] for row in rows]]).fetchall()
    known = {name for (name,) in there}
    return [row for row in rows if row[key] not in known]


def _placed(connection: duckdb.DuckDBPyConnection, messages: list[Row]) -> list[Row]:
    """The messages with their ordinals, after those that their conversations have already. What was said in a conversation that its owner has deleted
    meanwhile is dropped."""
    wanted = sorted({message["conversation_id"] for message in messages})
    last = dict(
        connection.execute(
            """SELECT conversation_id, coalesce(max(ordinal), -1) FROM conversations LEFT JOIN messages USING (conversation_id)
               WHERE conversation_id IN (SELECT unnest(?)) GROUP BY ALL""",
            [wanted],
        ).fetchall()
    )
    placed = []
    for message in messages:
        if message["conversation_id"] in last:
            last[message["conversation_id"]] += 1
            placed.append(message | {"ordinal": last[message["conversation_id"]]})
    return placed


def _message_rows(conversation_id: str, turn: Mapping[str, Any]) -> list[Row]:
    """A question and its answer as rows of `messages`. `turn` is a `Turn` of the chatbot as a plain dictionary."""
    common = {"conversation_id": conversation_id, "turn_id": turn["turn_id"], "lang": turn["lang"], "ts": utc_now()}
    sources = [source | {"text_sha256": hashlib.sha256(source["text"].encode()).hexdigest()} for source in turn["sources"]]
    for source in sources:
        del source["text"]
    kept = ("ok", "content", "passages")  # the last says which parts of the index a result shows
    calls = [called | {name: returned[name] for name in kept if name in returned} for called, returned in turn["calls"]]
    answer = {
        "content": turn["answer"].strip(),
        "reason": turn["reason"],
        "finish": turn["finish"],
        "refused": turn["refused"],
        "quoted": turn["quoted"],
        "confidence": turn["confidence"],
        "sources": sources,
        "sentences": turn["sentences"],
        "calls": calls,
        "tokens": turn["tokens"],
        "seconds": turn["seconds"],
        **{column: turn[name] or None for column, name in MADE_BY.items()},
    }
    return [
        {"message_id": new_id(), "role": "user", "content": turn["question"]} | common,
        {"message_id": new_id(), "role": "assistant"} | answer | common,
    ]


def _decision_rows(decisions: Sequence[SafetyDecision]) -> list[Row]:
    return [{"decision_id": new_id(), "ts": utc_now()} | asdict(decision) for decision in decisions]


def begin_conversation(home: Home, conversation: Conversation) -> str:
    """Enter a conversation; returns its id."""
    Batch(conversations=[asdict(conversation)]).write(home)
    return conversation.conversation_id


def keep_turn(home: Home, conversation_id: str, turn: Mapping[str, Any]) -> None:
    """Add a question and its answer to a conversation. `turn` is a `Turn` of the chatbot as a plain dictionary."""
    Batch(messages=_message_rows(conversation_id, turn)).write(home)


def keep_decisions(home: Home, decisions: Sequence[SafetyDecision]) -> None:
    """Log what the safety filters decided."""
    Batch(decisions=_decision_rows(decisions)).write(home)


def recover(home: Home) -> int:
    """Enter what processes that ended before could not; returns how many rows. Raises: what `Catalog.write` raises; then it goes on waiting."""
    with abandoned(home) as records:
        batch = Batch()
        for record in records:
            batch.extend(Batch(**{kind: [_as_now(row) for row in rows] for kind, rows in record.items()}))
        if batch:
            batch.write(home)
        return len(batch)


def _as_now(row: Row) -> Row:
    """A row as it was before it became JSON; one of an earlier version as the migration `0008_finish` makes it."""
    if "reason" in row and "finish" not in row:
        told = row["reason"] in ("refused", "unanswered")
        row = row | ({"finish": "stop"} if told else {"reason": "answered", "finish": row["reason"]})
    return row | {name: datetime.fromisoformat(row[name]) for name in ("ts", "started") if name in row}


class ChatLog:
    """Keeps turns from many threads: each goes into the journal at once, and into the catalog with the others of the same moment, by a thread of its own.

    What was taken is on the disk. Reads and ratings enter what waits first, so everybody sees the turn that just ended. A conversation is entered with
    its first turn. Close it, or use it in a `with`.
    """

    def __init__(self, home: Home, *, delay: float = 0.5, enough: int = 100, limit: int = 20_000, on_log: Callable[[str], object] = print):
        """`delay` is how long a turn may wait for others, in seconds; with `enough` rows waiting they are entered at once; at most `limit` wait."""
        self.home, self.delay, self.enough, self.limit, self.on_log = home, delay, enough, limit, on_log
        self._journal = Journal(home)
        self._begun: dict[str, Conversation] = {}
        self._waiting, self._lock, self._writing = Batch(), threading.Lock(), threading.Lock()
        self._on_the_way = 0  # rows that are being written: they come back where that fails
        self._some, self._now, self._ending = threading.Event(), threading.Event(), threading.Event()
        try:
            recover(home)
        except CANNOT_WRITE as error:
            on_log(f"chats that were kept before cannot be entered for now: {error}")
        self._thread = threading.Thread(target=self._write_on, name="chat log", daemon=True)
        self._thread.start()

    def begin_conversation(self, conversation: Conversation) -> str:
        with self._lock:
            self._begun[conversation.conversation_id] = conversation
        return conversation.conversation_id

    def keep_turn(self, conversation_id: str, turn: Mapping[str, Any], decisions: Sequence[SafetyDecision] = ()) -> None:
        """Keep a question and its answer, and what the safety filters decided of them; on the disk when this returns.

        Raises:
            OSError: they cannot be kept: the disk is full, say, or too much waits for a catalog that cannot be written.
        """
        batch = Batch(messages=_message_rows(conversation_id, turn), decisions=_decision_rows(decisions))
        with self._lock:
            begun = self._begun.get(conversation_id)
            if begun is not None:
                batch.conversations.append(asdict(begun))
            number = self._take(batch)
            self._begun.pop(conversation_id, None)
        self._journal.sync(number)

    def keep_decisions(self, decisions: Sequence[SafetyDecision]) -> None:
        """Raises OSError, as `keep_turn` does."""
        if decisions:
            with self._lock:
                number = self._take(Batch(decisions=_decision_rows(decisions)))
            self._journal.sync(number)

    def conversations(self, owner: str) -> list[ListedConversation]:
        self.flush()
        return conversations(self.home, owner)

    def messages(self, conversation_id: str, owner: str) -> list[KeptMessage]:
        self.flush()
        begun = self._begun.get(conversation_id)
        if begun is not None and begun.owner == owner:
            return []
        return messages(self.home, conversation_id, owner)

    def delete_conversation(self, conversation_id: str, owner: str, who: Who) -> None:
        begun = self._begun.get(conversation_id)
        if begun is not None and begun.owner == owner:
            self._begun.pop(conversation_id, None)
            return
        self.flush()
        delete_conversation(self.home, conversation_id, owner, who)

    def rate(self, turn_id: str, owner: str, rating: int, correction: str | None = None) -> None:
        """In the catalog when this returns."""
        self.flush()
        rate(self.home, turn_id, owner, rating, correction)

    def flush(self) -> None:
        """Enter what waits. Raises what `Catalog.write` raises; then it goes on waiting."""
        with self._writing:
            with self._lock:
                self._some.clear()
                self._now.clear()
                if not self._waiting:
                    return
                segments = self._journal.rotate()
                batch, self._waiting = self._waiting, Batch()
                self._on_the_way = len(batch)
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
            self._journal.drop(segments)

    def close(self) -> None:
        """Enter what waits and end the thread."""
        self._ending.set()
        self._some.set()
        self._now.set()
        self._thread.join()
        self._try_to_write()
        if missing := len(self._waiting):
            self.on_log(f"{missing} rows of chats wait in the journal of this home; they are entered at the next start")
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, batch: Batch) -> int:
        """Write into the journal, under the lock: a segment holds what one write of the catalog enters. Returns the number to `sync`."""
        if self._on_the_way + len(self._waiting) + len(batch) > self.limit:
            raise OSError(f"{self.limit:,} rows of chats wait for a catalog that cannot be written")
        number = self._journal.write(asdict(batch))
        self._waiting.extend(batch)
        self._some.set()
        if len(self._waiting) >= self.enough:
            self._now.set()
        return number

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
        except CANNOT_WRITE as error:
            self.on_log(f"chats cannot be entered for now ({len(self._waiting)} rows wait in the journal): {error}")
            return False
        return True
