"""Near duplicates by MinHash (Broder 1997) with banding, checked exactly before anything is dropped.

Character 5-grams after NFKC work for English and Japanese alike. 32 bands of 4 rows propose pairs (a pair of similarity 0.85 is proposed with
probability above 0.99999); the Jaccard similarity of the 5-gram sets decides.
"""

import re
import unicodedata
import zlib
from collections import defaultdict

import numpy as np

BANDS, ROWS = 32, 4
PRIME = (1 << 31) - 1


def normalised(text: str) -> str:
    """One spelling for texts that differ in width, case, spaces and punctuation alone."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())


def shingles(text: str) -> set[int]:
    """The character 5-grams of a normalised text, as 32-bit hashes."""
    data = normalised(text)
    return {zlib.crc32(data[i : i + 5].encode()) for i in range(max(1, len(data) - 4))}


def near_duplicates(texts: list[str], threshold: float) -> dict[int, int]:
    """Index of each text that repeats an earlier one, with the index of that earlier one."""
    generator = np.random.default_rng(0)
    a = generator.integers(1, PRIME, BANDS * ROWS, dtype=np.uint64)
    b = generator.integers(0, PRIME, BANDS * ROWS, dtype=np.uint64)
    seen: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(BANDS)]
    sets: list[set[int]] = []
    repeats: dict[int, int] = {}
    for index, text in enumerate(texts):
        sets.append(shingles(text))
        hashes = np.fromiter(sets[-1], dtype=np.uint64) % PRIME
        signature = ((hashes[:, None] * a + b) % PRIME).min(0).astype(np.uint32).reshape(BANDS, ROWS)
        keys = [row.tobytes() for row in signature]
        candidates = sorted({earlier for band, key in zip(seen, keys, strict=True) for earlier in band.get(key, ())})
        match = next((earlier for earlier in candidates if _jaccard(sets[earlier], sets[-1]) >= threshold), None)
        if match is not None:
            repeats[index] = match
            continue  # only first occurrences are compared with
        for band, key in zip(seen, keys, strict=True):
            band[key].append(index)
    return repeats


def _jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)
