"""Near duplicates by MinHash (Broder 1997) with banding, checked exactly before anything is dropped.

Character 5-grams after NFKC work for English and Japanese alike. 32 bands of 4 rows propose pairs (a pair of similarity 0.85 is proposed with
probability above 0.99999); the Jaccard similarity of the 5-gram sets decides. A text of several parts (prompt and answer) repeats another only
if every part does: two questions about one long passage are no duplicates.
"""

import zlib
from collections import Counter, defaultdict

import numpy as np

from tasks.text.ngrams import ngrams, plain

BANDS, ROWS = 32, 4
PRIME = (1 << 31) - 1
SLICE = 4096  # shingles hashed at once: bounds the memory for a text of megabytes
SHORTEST_QUOTE = 12  # a shorter question may stand inside another text by chance


def normalised(text: str) -> str:
    """One spelling for texts that differ in width, case, spaces and punctuation alone."""
    return plain(text).replace(" ", "") or " ".join(text.split())


def shingles(text: str) -> set[int]:
    """The character 5-grams of a normalised text, as 32-bit hashes."""
    data = normalised(text)
    return {zlib.crc32(gram.encode()) for gram in ngrams(data, 5) or [data]}


def near_duplicates(texts: list[tuple[str, ...]], threshold: float) -> dict[int, int]:
    """Index of each text that repeats an earlier one, with the index of that earlier one. Only texts that repeat nothing are compared with."""
    generator = np.random.default_rng(0)
    a = generator.integers(1, PRIME, BANDS * ROWS, dtype=np.uint64)
    b = generator.integers(0, PRIME, BANDS * ROWS, dtype=np.uint64)
    seen: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(BANDS)]
    sets: list[list[set[int]]] = []
    repeats: dict[int, int] = {}
    for index, parts in enumerate(texts):
        sets.append([shingles(part) for part in parts])
        keys = [band.tobytes() for band in _signature(set().union(*sets[-1]), a, b).reshape(BANDS, ROWS)]
        candidates = sorted({earlier for band, key in zip(seen, keys, strict=True) for earlier in band.get(key, ())})
        match = next((earlier for earlier in candidates if _similarity(sets[earlier], sets[-1]) >= threshold), None)
        if match is not None:
            repeats[index] = match
            continue
        for band, key in zip(seen, keys, strict=True):
            band[key].append(index)
    return repeats


def _signature(hashes: set[int], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(BANDS * ROWS,) smallest value of each hash function over the set."""
    values = np.fromiter(hashes, dtype=np.uint64, count=len(hashes)) % PRIME
    parts = [((values[i : i + SLICE, None] * a + b) % PRIME).min(0) for i in range(0, len(values), SLICE)]
    return np.min(parts, axis=0).astype(np.uint32)


def _similarity(a: list[set[int]], b: list[set[int]]) -> float:
    """Jaccard similarity of the parts that are least alike."""
    return min(len(x & y) / len(x | y) for x, y in zip(a, b, strict=True))


def quotes(texts: list[str], questions: list[str], threshold: float) -> dict[int, int]:
    """Index of each text that holds the share `threshold` of a question's 5-grams, with the index of the question it holds most of."""
    wanted = [shingles(question) for question in questions]
    holders: dict[int, list[int]] = defaultdict(list)
    for index, (question, grams) in enumerate(zip(questions, wanted, strict=True)):
        if len(normalised(question)) >= SHORTEST_QUOTE:
            for gram in grams:
                holders[gram].append(index)
    quoted = {}
    for index, text in enumerate(texts):
        shared = Counter(question for gram in shingles(text) for question in holders.get(gram, ()))
        best = max(shared, key=lambda question: shared[question] / len(wanted[question]), default=None)
        if best is not None and shared[best] >= threshold * len(wanted[best]):
            quoted[index] = best
    return quoted
