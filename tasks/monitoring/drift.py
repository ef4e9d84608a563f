"""Whether what people ask has changed: this week's questions against those before, by their vectors, and the documents against what they were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

PERMUTATIONS = 999
SAMPLE = 400  # questions of either side, drawn at random where there are more


@dataclass(frozen=True)
class Drift:
    """Two samples of questions compared.

    Attributes:
        distance: energy distance as a share of what it can be, from 0 (the same) to 1.
        p: of the permutation test; none of `permutations` gives 1 / (permutations + 1).
        now, before: questions of either side.
    """

    distance: float
    p: float
    now: int
    before: int


def drift(now: np.ndarray, before: np.ndarray, now_of: Sequence[str], before_of: Sequence[str], seed: int = 0) -> Drift:
    """The energy coefficient of two samples of vectors, (n, d) and (m, d), one at least each (Székely and Rizzo 2013, "Energy statistics: a class of
    statistics based on distances", sections 1 and 5; 0 where the distributions are the same, 1 at most), with its permutation test. Whole conversations are
    permuted, whose questions are no independent draws.

    Args:
        now_of, before_of: the conversation of each question.
    """
    vectors, conversations = np.concatenate([now, before]), np.array([*now_of, *before_of])
    names, of = np.unique(conversations, return_inverse=True)
    distances = _distances(vectors)
    is_now = np.arange(len(vectors)) < len(now)
    found = _coefficients(distances, is_now[None])[0]
    # A conversation that goes on from one week into the next counts for the side on which it has more questions.
    sides = np.bincount(of, is_now, len(names)) * 2 > np.bincount(of, minlength=len(names))
    rng = np.random.default_rng(seed)
    drawn = np.array([rng.permutation(sides) for _ in range(PERMUTATIONS)])[:, of]
    both = drawn.any(axis=1) & ~drawn.all(axis=1)
    as_far = int((_coefficients(distances, drawn[both]) >= found - 1e-12).sum() + (~both).sum())
    return Drift(float(found), (as_far + 1) / (PERMUTATIONS + 1), len(now), len(before))


def _distances(vectors: np.ndarray) -> np.ndarray:
    """(n, n) Euclidean distances."""
    squares = (vectors**2).sum(axis=1)
    return np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * vectors @ vectors.T, 0.0))


def _coefficients(distances: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(rows,) energy coefficients for (rows, n) masks of the first sample, both samples having something."""
    one, other = first.astype(np.float64), (~first).astype(np.float64)
    of_one, of_other = one.sum(axis=1), other.sum(axis=1)
    to_one = one @ distances
    between = (to_one * other).sum(axis=1) / (of_one * of_other)
    within = (to_one * one).sum(axis=1) / of_one**2 + ((other @ distances) * other).sum(axis=1) / of_other**2
    return np.maximum(2 * between - within, 0.0) / np.maximum(2 * between, 1e-12)


@dataclass(frozen=True)
class IndexDrift:
    """The documents of the index that serves against those of the one before.

    Attributes:
        cited: documents of the index that answers of the weeks shown cite.
        oldest, median_days: since when the text of a document is known to any index, in days: of the oldest, and of half of them.
    """

    documents: int
    added: int
    removed: int
    changed: int
    cited: int
    oldest_days: float
    median_days: float


def index_drift(
    now: Mapping[str, str], before: Mapping[str, str], known_since: Mapping[str, datetime], cited: set[str], at: datetime
) -> IndexDrift:
    """What became of documents.

    Args:
        now, before: hash of each document's text by its name, one document at least in the index that serves.
        known_since: by name, when the text that it has now was first indexed.
        cited: names of documents.
    """
    days = [(at - known_since[name]).total_seconds() / 86_400 for name in now]
    return IndexDrift(
        len(now),
        len(now.keys() - before.keys()),
        len(before.keys() - now.keys()),
        sum(before[name] != text for name, text in now.items() if name in before),
        len(cited & now.keys()),
        max(days),
        float(np.median(days)),
    )
