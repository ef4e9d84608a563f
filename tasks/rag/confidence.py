"""How likely the chunks found answer a question: a logistic regression per language over signs that are cheap to compute.

The hard case is a question about a subject that the documents treat without saying what is asked: paragraphs that do not answer share its
subject and its words. So beside the cosine the signs look at how much of the question the chunks and their single sentences hold, by
rarity, and whether its phrases stand there as they were asked. Looking for a number where a "when" or "how many" asks for one changed nothing.

Fitted by `python benchmarks/answerable.py fit SETS` on JaQuAD dev and half of XQuAD; the probability is right where half of the questions
asked can be answered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tasks.text.detection import detect, language_of
from tasks.text.language import languages
from tasks.text.ngrams import folded, ngrams
from tasks.text.sentences import sentences
from tasks.text.terms import is_function, subject, terms

# The first hits alone are looked into, as many as the chat shows its model, so that the signs do not change with the number asked for.
READ = 2
WIDEST_GAP = 0.5  # of two scores, as a share of the first
FEATURES = (
    "chunk_cover",  # share of the question that one chunk holds, terms weighted by rarity
    "sentence_cover",  # that one sentence of it holds
    "phrase_cover",  # share of the question's phrases that a chunk has word for word
    "cosine",  # of the hit that is most like the question
    "score_gap",  # from the first hit's score to the second's, as a share of the first
    "length",  # logarithm of the number of terms
)


class Index(Protocol):
    """What is needed of a retriever."""

    def rarity(self, term: str) -> float: ...


class Hit(Protocol):
    """What is needed of a hit."""

    @property
    def heading(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def score(self) -> float: ...

    @property
    def dense(self) -> float: ...


@dataclass(frozen=True)
class Thresholds:
    """Probabilities: below `least` nothing counts as found, from `sure` on it is answered, and between one is not sure."""

    least: float
    sure: float


@dataclass(frozen=True)
class Calibration:
    """Coefficients of the features as they are, and what follows from a probability. Answering pays from cost/(cost+1) on where the probability is right;
    people ask what the documents answer more often than every other time, so it is answered from the share `answers` of that on."""

    bias: float
    weights: tuple[float, ...]
    answers: float = 0.6
    unsure: float = 0.7  # share of `sure` from which on what was found is quoted

    def thresholds(self, cost_wrong: float) -> Thresholds:
        """Where a wrong answer costs so much, a right one is worth 1 and to say that one does not know 0."""
        sure = self.answers * cost_wrong / (cost_wrong + 1)
        return Thresholds(self.unsure * sure, sure)


CALIBRATIONS = {
    code: Calibration(language.CONFIDENCE["bias"], tuple(language.CONFIDENCE[name] for name in FEATURES))
    for code, language in languages().items()
}


def confidence_of(retriever: Index, query: str, hits: Sequence[Hit]) -> float:
    """Probability that the hits, best first, answer the question; 0 without hits."""
    return confidence(features(query, retriever, hits), CALIBRATIONS[detect(query)]) if hits else 0.0


def confidence(values: np.ndarray, fitted: Calibration) -> float:
    """Probability from the values of `FEATURES`."""
    return 1 / (1 + math.exp(-(fitted.bias + float(np.dot(fitted.weights, values)))))


def features(query: str, retriever: Index, hits: Sequence[Hit]) -> np.ndarray:
    """(len(FEATURES),) float64 signs that the hits, best first and one at least, answer the question."""
    query = subject(query)
    weights, phrases = _weights(query, retriever), _phrases(query)
    covers = np.array([_covers(weights, phrases, hit) for hit in hits[:READ]]).max(axis=0)
    return np.array([*covers, max(hit.dense for hit in hits[:READ]), _gap(hits), math.log1p(len(weights))])


def _weights(query: str, retriever: Index) -> dict[str, float]:
    """The question's terms that say what it is about (all, where none does), with their rarity."""
    asked = set(terms(query))
    telling = {term for term in asked if not is_function(term)}
    return {term: retriever.rarity(term) for term in telling or asked}


def _covers(weights: dict[str, float], phrases: set[str], hit: Hit) -> tuple[float, float, float]:
    """How much of the question one chunk holds: in terms, in terms of its best sentence, in phrases. Its heading counts for each sentence."""
    heading = set(terms(hit.heading))
    held = [heading | set(terms(part)) for part in sentences(hit.text) or [""]]
    together, best = _share(weights, set().union(*held)), max(_share(weights, part) for part in held)
    return together, best, len(phrases & _phrases(f"{hit.heading}\n{hit.text}")) / max(1, len(phrases))


def _share(weights: dict[str, float], held: set[str]) -> float:
    return sum(weight for term, weight in weights.items() if term in held) / (sum(weights.values()) or 1.0)


def _phrases(text: str) -> set[str]:
    """Words that follow each other, function words left out; where words do not stand apart, characters that do not begin and end in grammar."""
    language = language_of(text)
    if language.WORDS_APART:
        return {" ".join(gram) for gram in ngrams([term for term in terms(text) if not language.is_function(term)], language.PHRASE)}
    return {gram for gram in ngrams(folded(text), language.PHRASE) if language.weight(gram[0]) == 1 or language.weight(gram[-1]) == 1}


def _gap(hits: Sequence[Hit]) -> float:
    """From the first score to the second, at most `WIDEST_GAP`, since a first hit far ahead of the rest proves little; half of that without a second."""
    if not hits[1:] or hits[0].score <= 0:
        return WIDEST_GAP / 2 if hits[0].score > 0 else 0.0
    return min(WIDEST_GAP, max(0.0, 1 - hits[1].score / hits[0].score))
