"""The three levels of BM25, from counts that are made once for each chunk: of chunks, of their sentences, and of whole documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.rag.bm25 import BM25, TermCounts
from tasks.text.sentences import sentences

LEVELS = ("bm25", "sentences", "documents")
SENTENCE_B = 0.5  # BM25's b for single sentences


def counted_parts(heading: str, text: str) -> list[str]:
    """What the terms of a chunk are counted in: its heading, then its sentences (an empty one where there are none).

    No term reaches from one into the next, so the counts of the chunk are the sum of theirs.
    """
    return [heading, *(sentences(text) or [""])]


@dataclass(frozen=True)
class ChunkTerms:
    """The term counts of the `counted_parts` of chunks, of which chunk i has `parts[i]`."""

    parts: np.ndarray  # (chunks,) int
    counts: TermCounts

    @classmethod
    def of(cls, chunks: Sequence[tuple[str, str]]) -> "ChunkTerms":
        """Counted from (heading, text) of each chunk."""
        parts = [counted_parts(heading, text) for heading, text in chunks]
        return cls(np.array([len(part) for part in parts], np.int64), TermCounts.of([text for part in parts for text in part]))

    @classmethod
    def joined(cls, parts: "Sequence[ChunkTerms]") -> "ChunkTerms":
        """Of the chunks of all parts, one part after the other."""
        together = np.concatenate([part.parts for part in parts]) if parts else np.zeros(0, np.int64)
        return cls(together, TermCounts.joined([part.counts for part in parts]))


def document_numbers(documents: Sequence[str]) -> tuple[np.ndarray, int]:
    """((chunks,) number of each chunk's document, how many documents)."""
    numbers = {document: number for number, document in enumerate(dict.fromkeys(documents))}
    return np.array([numbers[document] for document in documents], dtype=np.int64), len(numbers)


def build_postings(documents: Sequence[str], terms: ChunkTerms, k1: float, b: float) -> dict[str, BM25]:
    """Postings by level; `documents` names each chunk's. A heading counts for its chunk alone."""
    chunk = np.repeat(np.arange(len(documents)), terms.parts)
    heading = np.zeros(len(chunk), bool)
    heading[np.cumsum(terms.parts) - terms.parts] = True
    document, count = document_numbers(documents)
    sentence = np.where(heading, -1, np.cumsum(~heading) - 1)
    return {
        "bm25": BM25.from_counts(terms.counts, chunk, len(documents), k1, b),
        "sentences": BM25.from_counts(terms.counts, sentence, int((~heading).sum()), k1, SENTENCE_B),
        "documents": BM25.from_counts(terms.counts, np.where(heading, -1, document[chunk]), count, k1, b),
    }
