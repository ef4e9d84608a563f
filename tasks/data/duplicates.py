"""Near duplicates by MinHash (Broder 1997) with banding, checked exactly before anything is dropped.

Character 5-grams after NFKC work for English and Japanese alike. 32 bands of 4 rows propose pairs (a pair of similarity 0.85 is proposed with
probability above 0.99999); the Jaccard similarity of the 5-gram sets decides. A text of several parts (question and answer) repeats another only
if every part does, and of a question what other rows share (a passage, a template) does not count: two short questions about one long passage, or
after one long instruction, are no duplicates.
"""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tasks.text.ngrams import ngrams, plain

BANDS, ROWS = 32, 4
PRIME = (1 << 31) - 1
SLICE = 4096  # shingles hashed at once: bounds the memory for a text of megabytes
PARAGRAPHS = re.compile(r"\n\s*\n")
TEMPLATE = 40  # characters that questions begin or end with alike, from which they count as a template
ROWS_OF_TEMPLATE = 3  # rows that must share it: two alone may well be near duplicates
SHORTEST_QUOTE = 12  # a shorter question may stand inside another text by chance


def normalised(text: str) -> str:
    """One spelling for texts that differ in width, case, spaces and punctuation alone."""
    return plain(text).replace(" ", "") or " ".join(text.split())


def shingles(text: str) -> set[int]:
    """The character 5-grams of a normalised text, as 32-bit hashes."""
    data = normalised(text)
    return {zlib.crc32(gram.encode()) for gram in ngrams(data, 5) or [data]}


def near_duplicates(
    texts: Sequence[tuple[str, ...]], threshold: float, contexts: Sequence[str] | None = None, shared: Sequence[str] | None = None
) -> dict[int, int]:
    """Index of each text that repeats an earlier one, with the index of that earlier one. Only texts that repeat nothing are compared with.

    Args:
        contexts: what comes before each text. It must be as much alike as the parts, but proposes no pairs: thousands of rows may share theirs.
        shared: what was taken out of each text because others have it too (`without_shared`); it must be the same.
    """
    generator = np.random.default_rng(0)
    a = generator.integers(1, PRIME, BANDS * ROWS, dtype=np.uint64)
    b = generator.integers(0, PRIME, BANDS * ROWS, dtype=np.uint64)
    seen: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(BANDS)]
    sets: list[list[set[int]]] = []
    repeats: dict[int, int] = {}
    known, same = lru_cache(1024)(shingles), [normalised(part) for part in shared] if shared else [""] * len(texts)
    for index, parts in enumerate(texts):
        own = [shingles(part) for part in parts]
        sets.append(own + ([known(contexts[index])] if contexts else []))
        keys = [band.tobytes() for band in _signature(set().union(*own), a, b).reshape(BANDS, ROWS)]
        candidates = sorted({earlier for band, key in zip(seen, keys, strict=True) for earlier in band.get(key, ())})
        alike = (earlier for earlier in candidates if same[earlier] == same[index] and _similarity(sets[earlier], sets[-1]) >= threshold)
        match = next(alike, None)
        if match is not None:
            repeats[index] = match
            continue
        for band, key in zip(seen, keys, strict=True):
            band[key].append(index)
    return repeats


def without_shared(questions: Sequence[str]) -> list[tuple[str, str]]:
    """(own, shared) of each question: what it shares with others are whole paragraphs, and what at least three begin or end with alike. One of
    which nothing would be left stays as it is. Two questions are the same only if what they share is: of two passages the same may be asked."""
    counts = Counter(paragraph for question in questions for paragraph in {part.strip() for part in PARAGRAPHS.split(question)})
    split = []
    for question in questions:
        parts = PARAGRAPHS.split(question)
        own = "\n\n".join(part for part in parts if counts[part.strip()] == 1)
        known = "\n\n".join(part for part in parts if counts[part.strip()] > 1)
        split.append((own, known) if plain(own) else (question, ""))
    begun = _shared_beginnings([own for own, _ in split])
    ended = _shared_beginnings([own[::-1] for own, _ in split])
    found = []
    for (own, known), start, end in zip(split, begun, ended, strict=True):
        stop = max(start, len(own) - end)
        bare = plain(own[start:stop])
        found.append((own[start:stop], "\n\n".join((known, own[:start], own[stop:]))) if bare else (own, known))
    return found


def _shared_beginnings(texts: Sequence[str]) -> list[int]:
    """Characters at the beginning of each text that at least two others begin with too; 0 for fewer than make a template."""
    order, lengths = sorted(range(len(texts)), key=texts.__getitem__), [0] * len(texts)
    for first in range(len(order) - ROWS_OF_TEMPLATE + 1):  # neighbours in alphabetical order share the most
        window = order[first : first + ROWS_OF_TEMPLATE]
        shared = _common(texts[window[0]], texts[window[-1]])
        for index in window if shared >= TEMPLATE else ():
            lengths[index] = max(lengths[index], shared)
    return lengths


def _common(a: str, b: str) -> int:
    """Characters that two texts begin with alike; by halving, since comparing slices is much faster than comparing characters."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a.startswith(b[:middle]) else (low, middle - 1)
    return low


def _signature(hashes: set[int], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(BANDS * ROWS,) smallest value of each hash function over the set."""
    values = np.fromiter(hashes, dtype=np.uint64, count=len(hashes)) % PRIME
    parts = [((values[i : i + SLICE, None] * a + b) % PRIME).min(0) for i in range(0, len(values), SLICE)]
    return np.min(parts, axis=0).astype(np.uint32)


def _similarity(a: list[set[int]], b: list[set[int]]) -> float:
    """Jaccard similarity of the parts that are least alike."""
    return min(1.0 if x is y else len(x & y) / len(x | y) for x, y in zip(a, b, strict=True))


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
