"""What happens in one turn of the chatbot, in order: terminal, web page and HTTP show the same events, each in its own way.

`Found` (what was looked up) comes first, then any `Called` and `Returned` (tools), then the `Piece`s of the answer, at last `Ended`.
A refusal is `Refused` (why) followed by the pieces of what is said instead.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.chatbot.tools.calls import Called, Returned
from tasks.inference.backend import Reason, TokenLogprob

Side = Literal["input", "output"]  # which of them the safety filters read
# How an answer ends. Unsure, it quotes what comes nearest and says so; unanswered, it says that the documents do not answer.
Outcome = Literal["answered", "unsure", "unanswered", "refused"]


@dataclass(frozen=True)
class Source:
    """A chunk that the answer rests on. `number` is what the answer cites, from 1; `page` is from 1 where the document has pages.
    What rests on a `restricted` one, which only some may see, must not reach others by way of training."""

    number: int
    chunk_id: str
    document: str
    title: str
    heading: str
    text: str
    lang: str
    score: float
    page: int | None = None
    restricted: bool = False


@dataclass(frozen=True)
class Found:
    """The sources looked up, and how sure the retrieval is (0 to 1) that they answer the question."""

    sources: tuple[Source, ...]
    confidence: float


@dataclass(frozen=True)
class ShownToken:
    """A token that was shown as the model wrote it. `end` is its end in the piece's text, in characters; one that began before may end at 0."""

    end: int
    logprob: TokenLogprob


@dataclass(frozen=True)
class Piece:
    """More of the answer's text; where log-probabilities were asked for, with those of its tokens: none of what the model did not write."""

    text: str
    tokens: tuple[ShownToken, ...] = ()


@dataclass(frozen=True)
class Refused:
    """The safety filters spoke. `code` is theirs (such as `harm.weapons` or `private.email`), `side` what they read."""

    code: str
    side: Side


@dataclass(frozen=True)
class Sentence:
    """A sentence of the answer. `cites` are the numbers of sources that support it; not `supported`, none does."""

    text: str
    cites: tuple[int, ...]
    supported: bool


@dataclass
class Turn:
    """A question and everything it led to."""

    turn_id: str
    question: str
    lang: str
    answer: str = ""
    sources: list[Source] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    calls: list[tuple[Called, Returned]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)  # of the safety filters: side, code, blocked, score, lang
    refused: str = ""
    reason: Outcome = "answered"
    finish: Reason = "stop"  # why writing stopped
    quoted: bool = False
    confidence: float | None = None  # as in `Found`; None where nothing was looked up
    tokens: int = 0
    seconds: float = 0.0
    release: str = ""  # id of the release that answered
    index: str = ""  # id of the index that was searched
    unreleased: str = ""  # in words, what answered where no release did


@dataclass(frozen=True)
class Ended:
    """The turn is over."""

    turn: Turn
    kept: bool = True  # not where a disk is full: what was said is shown, and gone with the window


Event = Found | Called | Returned | Piece | Refused | Ended
