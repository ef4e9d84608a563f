"""BM25 (Robertson & Zaragoza 2009) over terms (`tasks.text.terms`): word stems, and characters and their pairs.

Terms are kept as 64-bit hashes, counts as postings in flat arrays, so that an index is put together from the counts of its texts
(which do not change while the texts do not) in a fraction of a second, and a query is a few slices and one addition each.
A part of the texts can be scored as if there were no others: nothing that the rest holds shows in its scores.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array

from tasks.text.terms import terms, weight

RARITY = 0.2  # rare terms of a question deserve more than BM25 gives them; chosen on JaQuAD


@lru_cache(maxsize=500_000)
def term_hash(term: str) -> int:
    """64 bits that stand for a term, the same on every machine; a million terms share one with a chance of 3 in 10^8."""
    return int.from_bytes(blake2b(term.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class TermCounts:
    """How often each term occurs in each of some texts: `sizes[i]` distinct terms in text i, its `terms` (hashes) and `counts` one text after the other."""

    sizes: np.ndarray  # (texts,) int32
    terms: np.ndarray  # (sum of sizes,) uint64
    counts: np.ndarray  # (sum of sizes,) int32

    @classmethod
    def of(cls, texts: list[str]) -> "TermCounts":
        counters = [Counter(terms(text)) for text in texts]
        return cls(
            np.array([len(counter) for counter in counters], np.int32),
            np.array([term_hash(term) for counter in counters for term in counter], np.uint64),
            np.array([n for counter in counters for n in counter.values()], np.int32),
        )

    @classmethod
    def joined(cls, parts: list["TermCounts"]) -> "TermCounts":
        """The texts of all parts, one part after the other."""
        empty = cls.of([])
        return cls(*(np.concatenate([getattr(part, name) for part in [empty, *parts]]) for name in ("sizes", "terms", "counts")))

    @cached_property
    def numbered(self) -> tuple[np.ndarray, np.ndarray]:
        """(distinct hashes in rising order, number of each of `terms` among them)."""
        encoded = pa.array(self.terms).dictionary_encode()
        distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
        order = np.argsort(distinct)
        number = np.empty(len(distinct), np.int32)
        number[order] = np.arange(len(distinct), dtype=np.int32)
        return distinct[order], number[encoded.indices.to_numpy(zero_copy_only=False)]


@dataclass(frozen=True)
class Question:
    """The terms of a question: hashes, how often each is asked for, and what it counts for by its script."""

    hashes: np.ndarray  # (terms,) uint64
    counts: np.ndarray  # (terms,) float32
    worth: np.ndarray  # (terms,) float32

    @classmethod
    def of(cls, text: str) -> "Question":
        counter = Counter(terms(text))
        hashes = np.array([term_hash(term) for term in counter], np.uint64)
        worth = np.array([weight(term) for term in counter], np.float32)
        return cls(hashes, np.array(list(counter.values()), np.float32), worth)


@dataclass(frozen=True)
class Scope:
    """A part of the texts and what scores in it rest on: their number, and what each text's length does to its scores."""

    mask: np.ndarray  # (texts,) bool
    size: int
    norm: np.ndarray  # (texts,) float32


@dataclass(frozen=True)
class Matches:
    """Postings of the terms of a question that some text has."""

    term: np.ndarray  # (postings,) which term
    ids: np.ndarray  # (postings,) which text
    weights: np.ndarray  # (postings,) BM25 of the term in the text
    counts: np.ndarray  # (terms,) how often it is asked for
    worth: np.ndarray  # (terms,) what it counts for by its script
    idf: np.ndarray  # (terms,)


class BM25:
    """Postings: text `ids[i]` holds the term of hash `vocabulary[t]` `counts[i]` times, for i in [starts[t], starts[t + 1])."""

    def __init__(
        self, vocabulary: np.ndarray, starts: np.ndarray, ids: np.ndarray, counts: np.ndarray, lengths: np.ndarray, k1: float, b: float
    ):
        self.vocabulary, self.starts, self.ids, self.counts, self.lengths = vocabulary, starts, ids, counts, lengths
        self.k1, self.b, self.size = k1, b, len(lengths)
        df = np.diff(starts)
        self.weights = self._weights(counts, np.repeat(_idf(df, self.size), df), self._norm(lengths)[ids])

    @classmethod
    def build(cls, texts: list[str], k1: float, b: float) -> "BM25":
        return cls.from_counts(TermCounts.of(texts), np.arange(len(texts)), len(texts), k1, b)

    @classmethod
    def from_counts(cls, texts: TermCounts, owner: np.ndarray, size: int, k1: float, b: float) -> "BM25":
        """Postings of `size` texts, each the sum of the counted texts that it owns.

        Args:
            owner: (counted texts,) number of the text that each belongs to; -1 leaves it out.
        """
        vocabulary, number = texts.numbered
        rows = np.repeat(owner, texts.sizes)
        kept = rows >= 0
        matrix = coo_array((texts.counts[kept], (rows[kept], number[kept])), shape=(size, len(vocabulary))).tocsc()
        counts = matrix.data.astype(np.min_scalar_type(int(matrix.data.max(initial=0))))
        lengths = np.bincount(rows[kept], texts.counts[kept], minlength=size).astype(np.float32)
        return cls(vocabulary, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), counts, lengths, k1, b)

    def scope(self, mask: np.ndarray) -> Scope:
        """The texts where `mask` (texts,) is true, to be scored as if there were no others."""
        return Scope(mask, int(mask.sum()), self._norm(self.lengths, self.lengths[mask]))

    def scores(self, query: "str | Question", weighted: bool = True, scope: Scope | None = None) -> np.ndarray:
        """(texts,) scores; 0 where no term of the query occurs, and outside of the scope. Not `weighted`, they are the plain formula's."""
        matches = self._matches(Question.of(query) if isinstance(query, str) else query, scope)
        return self._sum(
            matches, matches.weights * (matches.counts * matches.idf**RARITY * matches.worth if weighted else matches.counts)[matches.term]
        )

    def coverage(self, query: "str | Question", scope: Scope | None = None) -> np.ndarray:
        """(texts,) share of the query's known terms that each text holds, weighted by their rarity."""
        return self.scores_and_coverage(Question.of(query) if isinstance(query, str) else query, scope)[1]

    def scores_and_coverage(self, asked: Question, scope: Scope | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Both, for the price of one."""
        matches = self._matches(asked, scope)
        scores = self._sum(matches, matches.weights * (matches.counts * matches.idf**RARITY * matches.worth)[matches.term])
        return scores, self._sum(matches, matches.idf[matches.term] / np.float32(matches.idf.sum() + 1e-9))

    def ideal(self, asked: Question, scope: Scope | None = None) -> float:
        """What a text of middling length would score that has each term of the query once; terms that no text has are as rare as can be."""
        places = np.searchsorted(self.vocabulary, asked.hashes)
        known = self.vocabulary.take(places, mode="clip") == asked.hashes if len(self.vocabulary) else np.zeros(len(places), bool)
        df = np.zeros(len(asked.hashes), np.int64)
        if scope is None:
            df[known] = self.starts[places[known] + 1] - self.starts[places[known]]
        else:
            df[known] = [int(scope.mask[self.ids[self.starts[at] : self.starts[at + 1]]].sum()) for at in places[known]]
        return float((_idf(df, scope.size if scope else self.size) ** (1 + RARITY) * asked.counts * asked.worth).sum())

    def _sum(self, matches: "Matches", values: np.ndarray) -> np.ndarray:
        """(texts,) sum of each text's values."""
        return np.bincount(matches.ids, values, minlength=self.size).astype(np.float32)

    def rarity(self, term: str, scope: Scope | None = None) -> float:
        """The term's inverse document frequency; a term that no text of the scope has is as rare as can be."""
        matches = self._matches(Question(np.array([term_hash(term)], np.uint64), np.ones(1, np.float32), np.ones(1, np.float32)), scope)
        return float(matches.idf[0]) if len(matches.idf) else math.log1p(((scope.size if scope else self.size) + 0.5) / 0.5)

    def _matches(self, asked: Question, scope: Scope | None) -> "Matches":
        """The postings of the question's terms in the scope, one term after the other."""
        places = np.searchsorted(self.vocabulary, asked.hashes)
        known = np.flatnonzero(self.vocabulary.take(places, mode="clip") == asked.hashes) if len(self.vocabulary) else places[:0]
        starts = self.starts[places[known]]
        sizes = self.starts[places[known] + 1] - starts
        term = np.repeat(np.arange(len(known)), sizes)
        at = np.arange(len(term)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        ids = self.ids[at]
        if scope is None:
            return Matches(term, ids, self.weights[at], asked.counts[known], asked.worth[known], _idf(sizes, self.size))
        inside = scope.mask[ids]
        term, ids, at = term[inside], ids[inside], at[inside]
        idf = _idf(np.bincount(term, minlength=len(known)), scope.size)
        weights = self._weights(self.counts[at], idf[term], scope.norm[ids])
        held = np.bincount(term, minlength=len(known)) > 0  # a term that the scope has not is unknown in it
        number = np.cumsum(held) - 1
        return Matches(number[term], ids, weights, asked.counts[known][held], asked.worth[known][held], idf[held])

    def _norm(self, lengths: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        """(texts,) what lengths add to the denominator, measured by the mean length `among` some texts (all, when not given)."""
        among = lengths if among is None else among
        mean = max(1.0, float(among.mean())) if len(among) else 1.0
        return (self.k1 * (1 - self.b + self.b * lengths / mean)).astype(np.float32)

    def _weights(self, counts: np.ndarray, idf: np.ndarray, norm: np.ndarray) -> np.ndarray:
        frequency = counts.astype(np.float32)
        return (idf * frequency * np.float32(self.k1 + 1) / (frequency + norm)).astype(np.float32)

    def same_as(self, other: "BM25") -> bool:
        """Whether both hold the same postings, by the same formula."""
        arrays = ("vocabulary", "starts", "ids", "counts", "lengths")
        return (self.k1, self.b) == (other.k1, other.b) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in arrays
        )

    def save(self, folder: Path, name: str = "bm25") -> None:
        arrays: dict[str, Any] = {
            "vocabulary": self.vocabulary,
            "starts": self.starts,
            "ids": self.ids,
            "counts": self.counts,
            "lengths": self.lengths,
        }
        np.savez(folder / f"{name}.npz", **arrays, formula=np.array([self.k1, self.b]))

    @classmethod
    def open(cls, folder: Path, name: str = "bm25") -> "BM25":
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            k1, b = file["formula"].tolist()
            return cls(file["vocabulary"], file["starts"], file["ids"], file["counts"], file["lengths"], k1, b)


def _idf(df: np.ndarray, size: int) -> np.ndarray:
    """Inverse document frequency of terms that `df` of `size` texts hold, as in Lucene."""
    return np.log1p((size - df + 0.5) / (df + 0.5)).astype(np.float32)
