"""What the report of a run shows. Whoever wants a report reads it from the catalog and hands it over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# The metrics that are drawn where they were recorded; before the dot stands the stage that records them.
CURVES = ("tune.loss", "reward.first_loss", "reward.second_loss", "align.score", "align.kl", "align.second_score")


Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # columns, and rows of cells


@dataclass(frozen=True)
class Stage:
    """A stage of the run. `meta` is what its artifact says of itself; the key figures are the `headlines` in it. What it cost (`tasks.stages.spent`) is None
    where it was reused or the system did not tell."""

    name: str
    status: str
    seconds: float
    meta: Mapping[str, Any]
    device_seconds: float | None = None
    peak_bytes: float | None = None


@dataclass(frozen=True)
class Figure:
    """A metric of a model, of a difference of two (`tuned - base`), or of the `index`. `low` and `high` bound the 95 % interval, if there is one."""

    model: str
    metric: str
    lang: str
    value: float
    low: float | None
    high: float | None
    items: int

    @property
    def is_difference(self) -> bool:
        return " - " in self.model

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Answer:
    """What a model said to a prompt."""

    model: str
    item_id: str
    lang: str
    prompt: str
    reference: str | None
    answer: str


@dataclass(frozen=True)
class ChatTurn:
    """How the chatbot answered an item in one role. `correct` and `wrong` are None where nothing says what a right answer contains."""

    model: str
    suite: str
    item_id: str
    lang: str
    prompt: str
    reference: str | None
    answer: str
    outcome: str
    correct: bool | None
    wrong: bool | None
    right_source: bool | None
    refused: bool
    confidence: float | None
    sources: Sequence[str]


@dataclass(frozen=True)
class RowCount:
    """Rows of the dataset that were kept (reason "") or dropped for that reason."""

    kind: str
    split: str
    lang: str
    reason: str
    rows: int


@dataclass(frozen=True)
class Gate:
    """What the gate decided by: the difference of `metric` with its 95 % interval, from `items`. So many can show one of `smallest`, and `needed` would
    show the margin. What was not compared is None."""

    metric: str | None
    difference: float | None
    low: float | None
    high: float | None
    items: int | None
    smallest: float | None
    needed: int | None


@dataclass(frozen=True)
class Facts:
    """A run of `retrain`: its stages in their order, and what they left."""

    run_id: str
    started: datetime  # UTC
    profile: str
    decision: str
    reason: str  # of the decision
    stages: Sequence[Stage] = ()
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)  # (step, value) for each of CURVES
    figures: Sequence[Figure] = ()
    answers: Sequence[Answer] = ()  # by item
    row_counts: Sequence[RowCount] = ()
    turns: Sequence[ChatTurn] = ()
    gate: Gate | None = None
    decision_id: str = ""  # by which a person decides where it waits for one

    def meta(self, stage: str) -> Mapping[str, Any]:
        """Of that stage; {} where it did not run."""
        return next((one.meta for one in reversed(self.stages) if one.name == stage), {})
