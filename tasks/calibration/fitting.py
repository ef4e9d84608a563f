"""Confidence fitted on a team's own questions, each asked twice: as it is, and of the index without the documents that answer it.

A logistic regression whose coefficients are held to the bundled ones (a normal prior around them, as in transfer by biased regularisation; Chelba & Acero
2004, "Adaptation of maximum entropy capitalizer"): with no questions it is the bundled calibration, with many it is theirs. A question with the
documents left out says what a question without an answer looks like in this index; answers that other documents give as well count as
such ones, which makes the fit a little too careful.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.rag.confidence import Calibration

STRENGTH = 16.0  # of the prior, in (coefficient times deviation of its sign) squared
FEWEST = 5  # questions of a language with which its coefficients are moved at all
STEPS = 50  # of Newton's method, which needs less than ten
UNSURE = 0.2  # share of all questions asked that may end unsure


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
    return 1 / (1 + np.exp(-(fitted.bias + rows @ np.array(fitted.weights))))


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
        p = 1 / (1 + np.exp(-design @ found))
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


def out_of_fold(cases: Sequence[Case], prior: Calibration, count: int, make: Callable[[Sequence[Case], Calibration], Calibration]) -> np.ndarray:
    """(cases,) probability of each by what the other folds say."""
    rows, found = np.array([case.signs for case in cases]), np.zeros(len(cases))
    for held in folds(cases, count):
        fitted = make([case for case, out in zip(cases, held, strict=True) if not out], prior)
        found[held] = probabilities(rows[held], fitted)
    return found


def by_language(cases: Sequence[Case]) -> Mapping[str, list[Case]]:
    """The cases of each language."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.lang, []).append(case)
    return found
