"""What a chatbot is worth to those who ask it, and what the difference of two is worth, from rows of the same questions.

Each question is asked twice, as it is (suite `answerable`) and with the documents that answer it left out of the search (`left_out`). With c, the cost of
a wrong answer (the release's `chat.cost_wrong`), an item's utility is

    outcome                     answerable                                        left_out
    answered                    1 correct, -c wrong, 0 neither (too long, ...)    -c
    unsure (quotes are shown)   1/2 with an accepted string, -c/2 without         -c/2
    unanswered, refused         0                                                 0

A chatbot's utility is the mean of its languages, each (1 - w) times the mean of `answerable` and w = 0.3 times that of `left_out`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

Row = Mapping[str, Any]

SUITES = ("answerable", "left_out")
LEFT_OUT = 0.3  # w: of what people ask, so much is not in the documents
RESAMPLES = 4000
POWER = 0.8  # how often a difference of the smallest size that can be shown would be shown
LEVEL = 0.025  # on each side of an interval


@dataclass(frozen=True)
class Comparison:
    """The utility of one chatbot less that of another, with the 95 % interval.

    `value` is their mean difference over `questions` about `documents` (units of the bootstrap), by language in `languages`. `smallest` is the least
    difference that so many can show, with a probability of POWER.
    """

    value: float
    low: float
    high: float
    questions: int
    documents: int
    smallest: float
    languages: dict[str, float]

    def needed(self, margin: float) -> int | None:
        """How many questions like these, about as many more documents, would show a difference of `margin`: a standard error falls with the root.
        None where there is no margin."""
        return math.ceil(self.questions * (self.smallest / margin) ** 2) if margin else None


def item_utility(row: Row, cost_wrong: float) -> float:
    """What the outcome of one item is worth; the table stands above.

    Args:
        row: `suite`, `outcome`, `correct`, `wrong`, and `accepted`: whether what was shown holds an accepted string.
    """
    if row["outcome"] == "answered":
        if row["suite"] == "left_out":
            return -cost_wrong
        return 1.0 if row["correct"] else -cost_wrong if row["wrong"] else 0.0
    if row["outcome"] == "unsure":
        return 0.5 if row["suite"] == "answerable" and row["accepted"] else -cost_wrong / 2
    return 0.0


def worth(rows: Iterable[Row], model: str) -> dict[tuple[str, str], Row]:
    """The rows of a model that have a utility, by suite and item: those of items whose answers can be judged."""
    own = [row for row in rows if row["model"] == model and row["suite"] in SUITES]
    judgeable = {row["item_id"] for row in own if row["suite"] == "answerable" and row["correct"] is not None}
    return {(row["suite"], row["item_id"]): row for row in own if row["item_id"] in judgeable}


def questions_of(rows: Iterable[Row], model: str) -> int:
    """How many questions a model was asked whose answers can be judged."""
    return len({item for _, item in worth(rows, model)})


def utility(rows: Sequence[Row], model: str, cost_wrong: float, seed: int = 0) -> Comparison | None:
    """What a model is worth, over the items that it was asked: as `compare` with somebody who answers nothing, whose utility is 0."""
    own = worth(rows, model)
    return _compared(own, {key: item_utility(row, cost_wrong) for key, row in own.items()}, seed) if own else None


def compare(rows: Sequence[Row], model: str, reference: str, cost_wrong: float, seed: int = 0) -> Comparison | None:
    """The paired difference of utilities, `model` less `reference`, over the items that both were asked; None where there are none.

    A document and its twins (one `document` in the rows) are one unit: their questions stand or fall together. The interval is the expanded percentile
    bootstrap over units (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4.4): its quantiles lie as much further out as
    Student's t with n - 1 degrees of freedom and sqrt(n / (n - 1)) are wider than the normal distribution, because with twenty documents the plain one
    (Efron and Tibshirani 1993, chapter 13) is too narrow. n is Kish's effective number of units, 1 / sum of a^2, where a unit's a is its share of all
    weights: a language with few documents counts for half and makes n small. It reaches at least t standard errors to each side: of four documents that are
    all better no resample is worse.

    The smallest difference is (t + 0.84) standard errors of the bootstrap, 0.84 being the normal quantile of POWER. A standard error is never taken to
    be less than what one question moves by one point: that nothing differs is not known to so many digits.
    """
    new, old = worth(rows, model), worth(rows, reference)
    differences = {key: item_utility(new[key], cost_wrong) - item_utility(old[key], cost_wrong) for key in new if key in old}
    return _compared(new, differences, seed) if differences else None


def _compared(rows: Mapping[tuple[str, str], Row], differences: Mapping[tuple[str, str], float], seed: int) -> Comparison:
    """The weighted mean of differences by suite and item, whose language and document the rows tell."""
    pairs = list(differences)
    suites, langs = [suite for suite in SUITES if any(key[0] == suite for key in pairs)], sorted({rows[key]["lang"] for key in pairs})
    documents = sorted({rows[key]["document"] for key in pairs})
    cells = [(suite, lang) for suite in suites for lang in langs]
    share = {"answerable": 1 - LEFT_OUT, "left_out": LEFT_OUT}
    weights = np.array([share[suite] for suite, _ in cells])
    sums, counts = np.zeros((len(documents), len(cells))), np.zeros((len(documents), len(cells)))
    place_of = {document: place for place, document in enumerate(documents)}
    cell_of = {cell: place for place, cell in enumerate(cells)}
    for key in pairs:
        at = place_of[rows[key]["document"]], cell_of[key[0], rows[key]["lang"]]
        sums[at] += differences[key]
        counts[at] += 1
    weights = weights * (counts.sum(0) > 0)
    low, high, error, quantile = _interval(sums, counts, weights / weights.sum(), seed)
    one = np.ones((1, len(documents)))
    by_language = {lang: float(_means(one, sums, counts, weights * np.array([cell[1] == lang for cell in cells]))[0]) for lang in langs}
    return Comparison(
        value=float(_means(one, sums, counts, weights)[0]),
        low=low,
        high=high,
        questions=len({item for _, item in pairs}),
        documents=len(documents),
        smallest=(quantile + NormalDist().inv_cdf(POWER)) * error,
        languages=by_language,
    )


def _means(draws: np.ndarray, sums: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means (R,) of the cells' means, where unit g occurs draws[r, g] times. A cell of which a draw has nothing counts for nothing in it.

    Args:
        draws: (R, units); `sums` and `counts` of items: (units, cells); `weights`: (cells,).
    """
    items = draws @ counts
    there = (items > 0) * weights
    values = np.divide(draws @ sums, items, out=np.zeros_like(items), where=items > 0)
    return (values * there).sum(1) / np.maximum(there.sum(1), 1e-12)


def _interval(sums: np.ndarray, counts: np.ndarray, weights: np.ndarray, seed: int) -> tuple[float, float, float, float]:
    """(low, high, standard error, quantile of t) of the weighted mean; see `compare`."""
    from scipy.special import stdtrit  # not above: the gate is imported by every command

    units = len(sums)
    shares = np.divide(counts, counts.sum(0), out=np.zeros_like(counts), where=counts > 0)
    leverage = shares @ weights
    effective = max(2.0, 1 / float((leverage**2).sum()))
    quantile, widened = float(stdtrit(effective - 1, 1 - LEVEL)), math.sqrt(effective / (effective - 1))
    draws = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), RESAMPLES)
    drawn = _means(draws, sums, counts, weights)
    value = float(_means(np.ones((1, units)), sums, counts, weights)[0])
    least = float(np.max(np.divide(weights, counts.sum(0), out=np.zeros_like(weights), where=counts.sum(0) > 0)))
    outer = NormalDist().cdf(-quantile * widened)
    low, high = np.quantile(drawn, [outer, 1 - outer])
    error = max(float(drawn.std()) * widened, least)
    return min(float(low), value - quantile * error), max(float(high), value + quantile * error), error, quantile
