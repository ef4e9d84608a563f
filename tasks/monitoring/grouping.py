"""Questions that no document answers, grouped, so that somebody can write what is missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MOST = 2000  # questions of a language that are grouped, the latest: a matrix of all pairs is made


@dataclass(frozen=True)
class Embedded:
    """Questions by one embedder.

    Attributes:
        vectors: (n, d), of unit length.
        unrelated: the mean cosine of questions that have nothing to do with each other.
    """

    vectors: np.ndarray
    unrelated: float


def similarity(by_embedders: Sequence[Embedded]) -> np.ndarray:
    """(n, n) of each pair of questions: the share of the way from unrelated texts' cosine to 1, as a mean over embedders."""
    return np.mean([(one.vectors @ one.vectors.T - one.unrelated) / (1 - one.unrelated) for one in by_embedders], axis=0)


def groups(alike: np.ndarray, threshold: float) -> list[list[int]]:
    """Numbers of the questions of each group, the largest group first, and in it the one first that is most like the others.

    Agglomerative clustering with average linkage (Sokal and Michener 1958, "A statistical method for evaluating systematic relationships"): two groups are
    joined where their questions are alike by more than the threshold, on average over all pairs. A chain of questions each of which is like the next
    makes no group by that, and the number of groups need not be known.

    Args:
        alike: (n, n) symmetric similarities, 1 at most.
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # not above: what only shows groups needs no scipy
    from scipy.spatial.distance import squareform

    if len(alike) < 2:
        return [[number] for number in range(len(alike))]
    distances = squareform(np.maximum(1 - alike, 0.0), checks=False)
    labels = fcluster(linkage(distances, "average"), 1 - threshold, "distance")
    found = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    ordered = [[int(own[place]) for place in np.argsort(-alike[np.ix_(own, own)].sum(axis=1), kind="stable")] for own in found]
    return sorted(ordered, key=lambda own: (-len(own), min(own)))


@dataclass(frozen=True)
class Group:
    """Questions of one language about one thing: ids of their turns, the most typical one first."""

    lang: str
    turns: tuple[str, ...]


def group(asked: Sequence[tuple[str, str, str]], embed: Callable[[str, list[str]], Sequence[Embedded]], threshold: float) -> list[Group]:
    """Groups of questions, the largest first.

    Args:
        asked: (turn, language, question), the latest last.
        embed: gives questions of a language by each embedder that reads it.
    """
    found = []
    for lang in sorted({lang for _, lang, _ in asked}):
        own = [(turn, question) for turn, of, question in asked if of == lang][-MOST:]
        alike = similarity(embed(lang, [question for _, question in own]))
        found += [Group(lang, tuple(own[number][0] for number in numbers)) for numbers in groups(alike, threshold)]
    return sorted(found, key=lambda one: -len(one.turns))
