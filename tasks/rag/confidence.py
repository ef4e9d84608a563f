"""How likely the chunks found answer a question: a logistic regression per language over signs that are cheap to compute.

The hard case is a question about a subject that the documents treat without saying what is asked: paragraphs that do not answer share its
subject and its words. Two kinds of questions must be served. Those that repeat the words of their paragraph (an encyclopedia's) are told by how much of
them chunks and single sentences hold, by rarity. Those in people's own words share few words with anything: they are told by meaning, by the best
sentence, by how far it stands out from what was found behind it, and by the companion's cosine where the language has one. Where the whole
index is about one subject every cosine is high and nothing stands out, so that the same signs mean more there: `subject` tells how near the question
lies to everything in the index. One embedder's unrelated texts have a cosine of 0.1, another's of 0.8: cosines are therefore told as shares of the way
from what unrelated texts have to 1.

Fitted by `python benchmarks/answerable.py fit SETS DATA` on the halves of its sets that are not reported; the probability is right where half of
the questions asked can be answered. An index with questions of its own has a calibration of its own (`tasks.rag.calibration`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from tasks.text.detection import detect
from tasks.text.language import languages
from tasks.text.sentences import sentences
from tasks.text.terms import is_function, subject, terms

# The first hits alone are read, as many as the chat shows its model, so that the signs do not change with the number asked for; what stands behind
# them is only held against them.
READ = 2
LOOKED_AT = 7
WIDEST_GAP = 0.5  # of two scores, as a share of the first
USUAL_CONTRAST = 0.1  # of an answer in people's own words: what is taken where there is nothing behind the first hits
FAR = 30.0  # a logit beyond which a probability is 0 or 1
FEATURES = (
    "subject",  # mean cosine of the question with all that is searched
    "sentence",  # cosine of the best sentence
    "contrast",  # by how much it is above the mean of the best sentences of the hits behind
    "companion",  # highest cosine of the language's companion; 0 where it has none
    "chunk_cover",  # share of the question that one chunk holds, terms weighted by rarity
    "sentence_cover",  # that one sentence of it holds
    "score_gap",  # from the first hit's score to the second's, as a share of the first
)


class Around(NamedTuple):
    """How a question lies to all that is searched: its mean cosine by the index's own embedder, whose unrelated texts have a cosine of `unrelated`; and
    the highest of its companion, as a share of the way from that one's unrelated texts to 1, 0 without one."""

    unrelated: float
    subject: float
    companion: float


class Index(Protocol):
    """What is needed of a retriever."""

    def rarity(self, term: str) -> float: ...

    def around(self, query: str) -> Around: ...


class Hit(Protocol):
    """What is needed of a hit."""

    @property
    def heading(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def score(self) -> float: ...

    @property
    def sentence(self) -> float: ...


class Thresholds(NamedTuple):
    """Probabilities: below `least` nothing is shown, from `sure` the chat answers, between them it shows passages and says that it is not sure."""

    least: float
    sure: float


@dataclass(frozen=True)
class Calibration:
    """Coefficients of the features as they are, and the thresholds where a wrong answer costs as much as a right one is worth."""

    bias: float
    weights: tuple[float, ...]
    least: float
    sure: float

    def thresholds(self, cost_wrong: float) -> Thresholds:
        """Where a wrong answer costs so many times what a right one is worth: the odds that are asked for grow with it."""
        return Thresholds(*(cost_wrong * odds / (1 + cost_wrong * odds) for odds in (p / (1 - p) for p in (self.least, self.sure))))


def bundled(code: str) -> Calibration:
    """The calibration of a language that an index has before it has one of its own."""
    fitted = languages()[code].CONFIDENCE
    return Calibration(fitted["bias"], tuple(fitted[name] for name in FEATURES), fitted["least"], fitted["sure"])


BUNDLED: Mapping[str, Calibration] = {code: bundled(code) for code in languages()}


def confidence_of(index: Index, query: str, hits: Sequence[Hit], calibrations: Mapping[str, Calibration] = BUNDLED) -> float:
    """Probability that the hits, best first, answer the question; 0 without hits."""
    return confidence(features(query, index, hits), calibrations[detect(query)]) if hits else 0.0


def confidence(values: np.ndarray, fitted: Calibration) -> float:
    """Probability from the values of `FEATURES`."""
    logit = fitted.bias + float(np.dot(fitted.weights, values))
    return 1 / (1 + math.exp(-min(max(logit, -FAR), FAR)))


def features(query: str, index: Index, hits: Sequence[Hit]) -> np.ndarray:
    """(len(FEATURES),) float64 signs that the hits, best first and one at least, answer the question."""
    around, weights = index.around(query), _weights(subject(query), index)
    chunk, sentence = np.array([_covers(weights, hit) for hit in hits[:READ]]).max(axis=0)
    near, best, *behind = (
        share_of(cosine, around.unrelated)
        for cosine in (around.subject, max(hit.sentence for hit in hits[:READ]), *(hit.sentence for hit in hits[READ:LOOKED_AT]))
    )
    contrast = best - sum(behind) / len(behind) if behind else USUAL_CONTRAST
    return np.array([near, best, contrast, around.companion, chunk, sentence, _gap(hits)])


def share_of(cosine: float, unrelated: float) -> float:
    """A cosine as a share of the way from what unrelated texts have to 1."""
    return (cosine - unrelated) / (1 - unrelated)


def _weights(query: str, index: Index) -> dict[str, float]:
    """The question's terms that say what it is about (all, where none does), with their rarity."""
    asked = set(terms(query))
    telling = {term for term in asked if not is_function(term)}
    return {term: index.rarity(term) for term in telling or asked}


def _covers(weights: dict[str, float], hit: Hit) -> tuple[float, float]:
    """How much of the question one chunk holds, and its best sentence. Its heading counts for each sentence."""
    heading = set(terms(hit.heading))
    held = [heading | set(terms(part)) for part in sentences(hit.text) or [""]]
    return _share(weights, set().union(*held)), max(_share(weights, part) for part in held)


def _share(weights: dict[str, float], held: set[str]) -> float:
    return sum(weight for term, weight in weights.items() if term in held) / (sum(weights.values()) or 1.0)


def _gap(hits: Sequence[Hit]) -> float:
    """From the first score to the second, at most `WIDEST_GAP`, since a first hit far ahead of the rest proves little; half of that without a second."""
    if not hits[1:] or hits[0].score <= 0:
        return WIDEST_GAP / 2 if hits[0].score > 0 else 0.0
    return min(WIDEST_GAP, max(0.0, 1 - hits[1].score / hits[0].score))
