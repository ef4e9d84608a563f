"""Vectors of the single sentences of an index, in int8, and the vectors of chunks, which are made of them.

A chunk's vector is the mean of its sentences' and of its heading's. So each sentence is embedded once, wherever it stands and whatever is
written around it; and how well a chunk answers is told by its best sentence as well as by all of it. Of a vector, `dimension` whole numbers are
kept: the direction, since all vectors are of unit length (cosine with the vector as it was: 0.9999 or more; 0.999 where one number is
half of the length).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.rag.dense import products

CODES, SCALES = "sentences.npy", "sentence_scales.npy"
LARGEST = 127
HEADING = 0.5  # what a chunk's heading counts for beside all of its sentences, where it has one
AT_ONCE = 65_536  # sentences


def quantized(vectors: np.ndarray) -> np.ndarray:
    """(rows, dimension) int8 codes of vectors, each on a scale of its own; a vector of zeros stays one."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (LARGEST / np.maximum(largest, 1e-12))).astype(np.int8)


def scales(codes: np.ndarray) -> np.ndarray:
    """(rows,) float32, by which codes become unit vectors."""
    lengths = np.empty(len(codes), np.float32)
    for start in range(0, len(codes), AT_ONCE):
        lengths[start : start + AT_ONCE] = np.linalg.norm(codes[start : start + AT_ONCE].astype(np.float32), axis=1)
    return 1 / np.maximum(lengths, 1)


def unit(codes: np.ndarray) -> np.ndarray:
    """(rows, dimension) float32 unit vectors of codes."""
    return codes.astype(np.float32) * scales(codes)[:, None]


def sentence_texts(text: str, places: Sequence[int]) -> list[str]:
    """The sentences of a chunk, of which `places` has where each begins and ends, one after the other."""
    return [text[start:end] for start, end in zip(places[::2], places[1::2], strict=True)]


def chunk_vectors(codes: np.ndarray, lengths: np.ndarray, counts: np.ndarray, headings: np.ndarray) -> np.ndarray:
    """(chunks, dimension) float32 unit vectors of chunks.

    Args:
        codes: (sentences, dimension) of all sentences, chunk by chunk.
        lengths: (sentences,) characters of each, whose square root is its weight in the mean.
        counts: (chunks,) how many sentences each has, one at least.
        headings: (chunks, dimension) codes of the headings, zeros where there is none.
    """
    vectors = np.empty((len(counts), codes.shape[1]), np.float32)
    ends = np.cumsum(counts)
    weights = np.sqrt(np.maximum(lengths, 1)).astype(np.float32) * scales(codes)
    step = 4096
    for first in range(0, len(counts), step):
        starts = ends[first : first + step] - counts[first : first + step]
        rows = slice(starts[0], ends[first : first + step][-1])
        sums = np.add.reduceat(codes[rows].astype(np.float32) * weights[rows, None], starts - starts[0], axis=0)
        vectors[first : first + step] = _unit(_unit(sums) + HEADING * unit(headings[first : first + step]))
    return vectors


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def write_sentences(folder: Path, codes: np.ndarray) -> None:
    np.save(folder / CODES, codes)
    np.save(folder / SCALES, scales(codes))


class SentenceVectors:
    """The vectors of an index's sentences, on the disk: what is not asked for is not read."""

    def __init__(self, folder: Path, counts: np.ndarray):
        """`counts` (chunks,): how many sentences each chunk has."""
        self.codes = np.load(folder / CODES, mmap_mode="r", allow_pickle=False)
        self.scales = np.load(folder / SCALES, allow_pickle=False)
        self.ends = np.cumsum(counts)
        self.starts = self.ends - counts

    @staticmethod
    def there(folder: Path) -> bool:
        """Whether an index has any: those of earlier versions have none."""
        return (folder / CODES).exists()

    def rows(self, chunks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(numbers of the sentences of those chunks, one chunk after the other; where each chunk's begin among them)."""
        sizes = self.ends[chunks] - self.starts[chunks]
        first = np.cumsum(sizes) - sizes
        return np.arange(int(sizes.sum())) + np.repeat(self.starts[chunks] - first, sizes), first

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """(rows, dimension) float32 unit vectors of those sentences."""
        return self.codes[rows].astype(np.float32) * self.scales[rows, None]

    def cosines(self, vector: np.ndarray, chunk: int) -> np.ndarray:
        """(sentences of the chunk,) cosines with a unit vector."""
        return products(self.vectors(np.arange(self.starts[chunk], self.ends[chunk])), vector)

    def best(self, vector: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """(chunks,) the highest cosine of a unit vector with a sentence of each of those chunks."""
        found = np.empty(len(chunks), np.float32)
        step = 8192
        for first in range(0, len(chunks), step):
            rows, starts = self.rows(chunks[first : first + step])
            found[first : first + step] = np.maximum.reduceat(products(self.codes[rows], vector) * self.scales[rows], starts)
        return found
