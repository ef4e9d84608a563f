"""One record type per kind of data, and the Parquet files that hold them between stages."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.text.messages import Message

LISTS = ("messages", "choices", "calls", "tools", "accept", "evidence", "also")  # fields that are JSON in the files


@dataclass(frozen=True)
class Instruction:
    """A conversation up to the last question, and the answer to learn; `calls` are the tools that it calls, of `tools` (schemas) that it may,
    `thoughts` what the model thought before it."""

    id: str
    messages: list[Message]
    answer: str
    lang: str
    source: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    thoughts: str = ""

    @property
    def chat(self) -> list[Message]:
        """The whole conversation."""
        answer: Message = {"role": "assistant", "content": self.answer}
        more: Message = {"tool_calls": self.calls, "reasoning_content": self.thoughts}
        return [*self.messages, answer | {name: value for name, value in more.items() if value}]


@dataclass(frozen=True)
class Preference:
    """Two answers to one conversation; `chosen` was preferred by `margin` (0 where unknown), or neither was (`tie`).

    `half` decides which reward model it trains.
    """

    id: str
    messages: list[Message]
    chosen: str
    rejected: str
    lang: str
    source: str
    margin: float = 0.0
    weight: float = 1.0
    half: int = 0
    tie: bool = False


@dataclass(frozen=True)
class Feedback:
    """One answer to a conversation, and whether it was liked: unpaired feedback, of which only KTO learns."""

    id: str
    messages: list[Message]
    completion: str
    liked: bool
    lang: str
    source: str


@dataclass(frozen=True)
class Question:
    """A held-out question. `document` is where its answer stands; `choices` has the right answer first, or nothing.

    Any right answer contains a string of `accept`; without any it cannot be told whether an answer is right. `evidence` are the sentences of the
    document that answer it, `also` other documents that do.
    """

    id: str
    question: str
    answer: str
    document: str
    choices: list[str]
    lang: str
    source: str
    accept: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FollowUp:
    """Two questions of one person, held out: the second needs the first (`real`), or is about something else (`topic_change`). `accept`, `document`
    and `also` are of the second, as a `Question` has them."""

    id: str
    kind: str
    first: str
    second: str
    lang: str
    source: str
    document: str = ""
    accept: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """A text for the index that came inside another file (the contexts of a SQuAD file)."""

    id: str
    path: str
    title: str
    text: str
    lang: str


@dataclass(frozen=True)
class Text:
    id: str
    text: str
    lang: str
    source: str


def content_id(*parts: str) -> str:
    """The hash that names a row by what it says."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def save(path: Path, records: list) -> None:
    """Write records of one type; lists become JSON strings. Nothing is written for no records."""
    if not records:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {key: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value for key, value in asdict(record).items()}
        for record in records
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def _load(path: Path, kind: type) -> list:
    if not path.exists():
        return []
    rows = pq.read_table(path).to_pylist()
    return [kind(**{key: json.loads(value) if key in LISTS else value for key, value in row.items()}) for row in rows]


def load_instructions(folder: Path, split: str) -> list[Instruction]:
    return _load(folder / "instructions" / f"{split}.parquet", Instruction)


def load_preferences(folder: Path, split: str) -> list[Preference]:
    return _load(folder / "preferences" / f"{split}.parquet", Preference)


def load_feedback(folder: Path, split: str) -> list[Feedback]:
    return _load(folder / "feedback" / f"{split}.parquet", Feedback)


def load_questions(folder: Path) -> list[Question]:
    return _load(folder / "questions.parquet", Question)


def load_followups(folder: Path) -> list[FollowUp]:
    return _load(folder / "followups.parquet", FollowUp)


def load_documents(folder: Path) -> list[Document]:
    return _load(folder / "documents.parquet", Document)


def load_text(folder: Path, split: str) -> list[Text]:
    return _load(folder / "text" / f"{split}.parquet", Text)


def load_dropped(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The dropped rows of a kind: source, line, reason, detail, lang, and the row as it was."""
    path = folder / "dropped.parquet"
    return pq.read_table(path, filters=[("kind", "=", kind)]).to_pylist() if path.exists() else []
