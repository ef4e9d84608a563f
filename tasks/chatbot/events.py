"""What one turn of the chatbot is made of: the events that stream while it is answered, and the whole that is kept."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Source:
    """A chunk that an answer rests on. `number` is what the answer cites as [n]; `page` counts from 1, where the document has pages."""

    number: int
    chunk_id: str
    document: str
    title: str
    heading: str
    text: str
    lang: str
    score: float
    page: int | None = None


@dataclass(frozen=True)
class Piece:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True)
class ToolUse:
    """One call of a tool: `arguments` is JSON text, `result` what the model saw, an error message where `failed`."""

    name: str
    arguments: str
    result: str
    failed: bool = False


@dataclass(frozen=True)
class Sources:
    """What was looked up."""

    found: tuple[Source, ...]


@dataclass(frozen=True)
class Checked:
    """A sentence of the answer: the source it cites or resembles, and the share of its character n-grams that source holds."""

    sentence: str
    source: int | None
    support: float
    supported: bool


@dataclass
class Turn:
    """A question and all that came of it. `reason` is the code of the decision that ended it otherwise than by an answer of the model."""

    question: str
    answer: str = ""
    sources: list[Source] = field(default_factory=list)
    tools: list[ToolUse] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    reason: str = ""
    ended: Literal["", "stop", "length", "time", "refused", "quoted", "unanswerable", "broken off"] = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Done:
    """The turn is over; always the last event."""

    turn: Turn


Event = Piece | ToolUse | Sources | Done
