"""What evaluations measured, and the answers that they sampled."""

from dataclasses import dataclass, field

from storage.catalog import JSON, Catalog
from storage.home import Home


@dataclass(frozen=True)
class Figure:
    """A metric of a model, of a difference (`tuned - base`) or of the `index`; `low` and `high` bound the 95 % interval where there is one."""

    model: str
    model_id: str | None
    metric: str
    lang: str  # "all" for every language together
    value: float
    low: float | None
    high: float | None
    items: int


@dataclass(frozen=True)
class SampledAnswer:
    """What a model said to a prompt of the evaluation."""

    model: str
    item_id: str
    lang: str
    prompt: str
    reference: str | None
    answer: str


@dataclass(frozen=True)
class AskedTurn:
    """How the chatbot answered an item of the evaluation, and what that was worth; None where it was not measured, or is not known."""

    model: str
    suite: str
    item_id: str
    lang: str
    document: str  # what is resampled as one
    prompt: str  # the question, and those before it
    reference: str | None
    answer: str
    outcome: str
    correct: bool | None
    wrong: bool | None
    accepted: bool | None
    turned_away: bool
    right_source: bool | None
    confidence: float | None
    sources: list[str] = field(metadata=JSON)  # names of documents
    supported: int
    sentences: int
    right_tool: bool | None
    refused: bool
    first_word: float | None
    seconds: float | None


def figures_of(home: Home, evaluation_id: str) -> list[Figure]:
    """All figures of an evaluation."""
    return Catalog.of(home).select(Figure, "FROM evaluations WHERE artifact_id = ?", [evaluation_id])


def sampled_answers(home: Home, evaluation_id: str) -> list[SampledAnswer]:
    """The answers that were sampled from every model, by item."""
    return Catalog.of(home).select(
        SampledAnswer, "FROM evaluation_answers WHERE artifact_id = ? AND suite = 'answers' ORDER BY item_id", [evaluation_id]
    )


def turns_of(home: Home, evaluation_id: str) -> list[AskedTurn]:
    """All turns of the chatbot in an evaluation, of base, champion and release."""
    source = """FROM (SELECT * REPLACE (coalesce(sources::VARCHAR, '[]') AS sources) FROM evaluation_answers)
                WHERE artifact_id = ? AND outcome IS NOT NULL ORDER BY model, suite, item_id"""
    return Catalog.of(home).select(AskedTurn, source, [evaluation_id])
