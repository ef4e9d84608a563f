"""What studies found."""

from dataclasses import dataclass

from storage.catalog import Catalog
from storage.home import Home


@dataclass(frozen=True)
class Measured:
    """A figure of an arm over the items of one language, with its interval."""

    arm: str
    measure: str
    lang: str
    value: float
    low: float
    high: float
    items: int


@dataclass(frozen=True)
class StudyFigure:
    """A figure of an arm, or its difference from the arm `against` ("" where it is none). Facts of an arm have no interval, and no items."""

    arm: str
    measure: str
    lang: str
    value: float
    low: float | None
    high: float | None
    items: int
    against: str


def figures_of_study(home: Home, artifact: str) -> list[StudyFigure]:
    """In the order in which they were recorded."""
    return Catalog.of(home).select(StudyFigure, "FROM studies WHERE artifact_id = ? ORDER BY rowid", [artifact])


def measured_benchmarks(home: Home) -> list[Measured]:
    """Of each benchmark (`migaki benchmark`) and model the figure that was recorded last."""
    return Catalog.of(home).select(
        Measured,
        "FROM (SELECT s.*, a.created FROM studies s JOIN artifacts a ON a.artifact_id = s.artifact_id) WHERE study = 'benchmark' AND against = '' AND lang <> 'all' AND low IS NOT NULL AND measure <> 'correct' AND NOT contains(measure, '.') "
        "QUALIFY row_number() OVER (PARTITION BY arm, measure ORDER BY created DESC) = 1 ORDER BY measure, arm",
    )
