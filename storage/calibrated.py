"""What the record of a calibration says of each language."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ends:
    """How the team's questions would end, each told by what the questions about other documents say. Shares of those whose documents are searched:
    `right` and `wrong` (quoted with and without what any right answer contains, of those that say what that is), `turned_away`; of those whose
    documents are left out: `told` (or not sure); of all: `unsure`. `auroc` is of telling one kind from the other."""

    turned_away: float
    told: float
    unsure: float
    auroc: float
    right: float | None = None
    wrong: float | None = None


@dataclass(frozen=True)
class Calibrated:
    """The confidence of questions in one language: coefficients by sign, and the probabilities from which passages are shown and questions answered
    where a wrong answer costs as much as a right one is worth. `curve` has (share of the questions that is answered, share of those whose documents
    are left out that is answered too) from the strictest threshold on: (before, after)."""

    bias: float
    weights: dict[str, float]
    least: float
    sure: float
    questions: int
    before: Ends | None = None
    after: Ends | None = None
    curve: tuple[list[tuple[float, float]], list[tuple[float, float]]] | None = None
