"""Confidence fitted on a team's own questions, each asked twice: as it is, and of the index without the documents that answer it.

A logistic regression whose coefficients are held to the bundled ones (a normal prior around them, as in transfer by biased regularisation; Chelba & Acero
2004, "Adaptation of maximum entropy capitalizer"): with no questions it is the bundled calibration, with many it is theirs. A question with the
documents left out says what a question without an answer looks like in this index; answers that other documents give as well count as
such ones, which makes the fit a little too careful.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from storage.calibrated import Ends
from tasks.asking.utility import LEFT_OUT
from tasks.rag.confidence import FAR, Calibration

STRENGTH = 16.0  # of the prior, in (coefficient times deviation of its sign) squared
FEWEST = 5  # questions of a language with which its coefficients are moved at all
STEPS = 50  # of Newton's method, which needs less than ten
LEAST = 0.05  # probability below which nothing is ever shown
REPEATS = 4  # of dealing out folds: one way or another moves thresholds by what chance has
NEAR = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)  # so far from the bundled `sure`: what a hundred questions say of it is flat and rough


@dataclass(frozen=True)
class Case:
    """A question asked once.

    Attributes:
        signs: (len(FEATURES),) what the confidence rests on.
        answered: whether documents that answer it were searched.
        right: whether quoting the best sentences holds what a right answer holds; None where the question does not say.
        group: what is on one side of a fold: a document with its twins.
    """

    question_id: str
    lang: str
    signs: np.ndarray
    answered: bool
    right: bool | None
    group: str


def probabilities(rows: np.ndarray, fitted: Calibration) -> np.ndarray:
    """(cases,) probabilities of (cases, len(FEATURES)) signs."""
    return _logistic(fitted.bias + rows @ np.array(fitted.weights))


def _logistic(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -FAR, FAR)))


def fit(cases: Sequence[Case], prior: Calibration, strength: float = STRENGTH) -> Calibration:
    """The prior moved to these cases, answered ones and others counting alike; its thresholds stay. The prior itself with fewer than `FEWEST` questions
    of either kind."""
    answered = np.array([case.answered for case in cases], bool)
    if min(answered.sum(), (~answered).sum()) < FEWEST:
        return prior
    rows = np.array([case.signs for case in cases])
    spread = np.maximum(rows.std(axis=0), 1e-3)
    design = np.column_stack([np.ones(len(rows)), rows / spread])
    start = np.array([prior.bias, *(np.array(prior.weights) * spread)])
    weight = np.where(answered, 0.5 / answered.mean(), 0.5 / (~answered).mean())
    # The bias is hardly held: how often a question is answered says nothing of another team's questions.
    penalty = np.diag([0.01 * strength, *[strength] * rows.shape[1]])
    found = start.copy()
    for _ in range(STEPS):
        p = _logistic(design @ found)
        gradient = design.T @ (weight * (answered - p)) - penalty @ (found - start)
        curvature = (design.T * (weight * p * (1 - p))) @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    return replace(prior, bias=float(found[0]), weights=tuple(float(value) for value in found[1:] / spread))


def folds(cases: Sequence[Case], count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """(cases,) bool of each fold: groups dealt out at random, so that a document and its twins are on one side."""
    groups = sorted({case.group for case in cases})
    order = np.random.default_rng(seed).permutation(len(groups))
    fold = {group: int(place) % count for group, place in zip(groups, order, strict=True)}
    own = np.array([fold[case.group] for case in cases])
    yield from (own == number for number in range(min(count, len(groups))))


def out_of_fold(cases: Sequence[Case], prior: Calibration, count: int, strength: float = STRENGTH) -> np.ndarray:
    """(cases,) probability of each by what the other folds say: the mean over `REPEATS` ways to deal the groups out."""
    rows, found = np.array([case.signs for case in cases]), np.zeros((REPEATS, len(cases)))
    for repeat, own in enumerate(found):
        for held in folds(cases, count, repeat):
            fitted = fit([case for case, out in zip(cases, held, strict=True) if not out], prior, strength)
            own[held] = probabilities(rows[held], fitted)
    return found.mean(axis=0)


def with_thresholds(fitted: Calibration, cases: Sequence[Case], scores: np.ndarray, unsure: float) -> Calibration:
    """With the `sure`, within `NEAR` of its own, that is worth most where the cases have these probabilities, and the `least` that goes with it; the
    nearest one where several are worth the same."""
    tried = [with_least(replace(fitted, sure=fitted.sure + step), scores, unsure) for step in sorted(NEAR, key=abs)]
    return max(tried, key=lambda one: worth(cases, scores, one))


def worth(cases: Sequence[Case], scores: np.ndarray, fitted: Calibration) -> float:
    """The utility (`tasks.asking.utility`) of ending so, at a cost of 1: an unsure end is worth half of what an answer would be."""
    answered = np.array([case.answered for case in cases], bool)
    right = np.array([case.right is not False for case in cases], bool)  # where the question does not say, its document was searched
    weight = np.where(scores >= fitted.sure, 1.0, np.where(scores >= fitted.least, 0.5, 0.0))
    values = weight * np.where(answered & right, 1, -1)
    return float((1 - LEFT_OUT) * values[answered].mean() + LEFT_OUT * values[~answered].mean())


def with_least(fitted: Calibration, scores: np.ndarray, unsure: float) -> Calibration:
    """With the lowest probability from which passages are shown that leaves at most the share `unsure` of the cases between it and `sure`."""
    below = np.sort(scores[scores < fitted.sure])[::-1]
    room = int(unsure * len(scores))
    least = float(np.nextafter(below[room], 1)) if len(below) > room else LEAST
    return replace(fitted, least=min(max(least, LEAST), fitted.sure))


def ended(cases: Sequence[Case], scores: np.ndarray, fitted: Calibration) -> Ends:
    """How the questions end where the cases have these probabilities."""
    answered = np.array([case.answered for case in cases], bool)
    judged = np.array([case.right is not None for case in cases], bool)
    right = np.array([bool(case.right) for case in cases], bool)
    sure, shown = scores >= fitted.sure, scores >= fitted.least
    return Ends(
        right=float((sure & right)[judged].mean()) if judged.any() else None,
        wrong=float((sure & ~right)[judged].mean()) if judged.any() else None,
        turned_away=float((~shown)[answered].mean()),
        told=float((~sure)[~answered].mean()),
        unsure=float((shown & ~sure).mean()),
        auroc=auroc(scores[answered], scores[~answered]),
    )


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of all pairs in which the positive one has the higher score, a tie as half a pair (Hanley & McNeil 1982)."""
    difference = positive[:, None] - negative[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def curve(cases: Sequence[Case], scores: np.ndarray, points: int = 50) -> list[tuple[float, float]]:
    """(share of the questions that is answered, share of those without an answer that is answered too) from the strictest threshold on."""
    answered = np.array([case.answered for case in cases], bool)
    thresholds = np.quantile(scores, np.linspace(1, 0, points))
    return [(float((scores >= least)[answered].mean()), float((scores >= least)[~answered].mean())) for least in thresholds]


def by_language(cases: Sequence[Case]) -> Mapping[str, list[Case]]:
    """The cases of each language."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.lang, []).append(case)
    return found
