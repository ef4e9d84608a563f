"""BM25 (Robertson & Zaragoza 2009) over word stems for English and over characters and their pairs for Japanese.

Weights are worked out when the index is built and kept as postings in flat arrays, so a query is a few slices and one addition each.
"""

import json
import math
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import snowballstemmer

SCRIPT = r"\u3005\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
TOKENS = re.compile(rf"[{SCRIPT}]|[^\W_{SCRIPT}]+")
# Runs of kanji or katakana are words, mostly, or names: matched whole they say more than the pairs they share with others.
WHOLE = re.compile(r"[\u30a0-\u30ff]{2,}|[\u3005\u3400-\u9fff\uf900-\ufaff]{2,}")
HIRAGANA = re.compile(r"[\u3040-\u309f]+")
# What a term of a question counts for, chosen on JaQuAD: hiragana is mostly grammar, and rare terms deserve more than BM25 gives them.
GRAMMAR, RARITY = 0.5, 0.2

_stemmer = snowballstemmer.stemmer("english")


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    return _stemmer.stemWord(word)


def terms(text: str) -> list[str]:
    """Stems of words; of Japanese characters, pairs of neighbours (also across scripts: 「第16回」 holds 第16 and 16回) and whole runs. After NFKC."""
    text = unicodedata.normalize("NFKC", text).lower()
    found, before, end = [f"|{run}|" for run in WHOLE.findall(text)], "", -1
    for token in TOKENS.finditer(text):
        word = token[0]
        found.append(stem(word) if word.isascii() else word)
        if token.start() == end:
            found.append(before + word)
        before, end = word, token.end()
    return found


class BM25:
    """Postings: chunk `ids[i]` holds the term with weight `weights[i]` for i in [starts[t], starts[t + 1])."""

    def __init__(self, vocabulary: dict[str, int], starts: np.ndarray, ids: np.ndarray, weights: np.ndarray, size: int):
        self.vocabulary, self.starts, self.ids, self.weights, self.size = vocabulary, starts, ids, weights, size

    @classmethod
    def build(cls, texts: list[str], k1: float, b: float) -> "BM25":
        counts = [Counter(terms(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float32)
        norm = k1 * (1 - b + b * lengths / max(1.0, float(lengths.mean()) if len(lengths) else 1.0))
        postings: dict[str, list[tuple[int, int]]] = {}
        for i, count in enumerate(counts):
            for term, n in count.items():
                postings.setdefault(term, []).append((i, n))
        vocabulary = {term: t for t, term in enumerate(postings)}
        starts = np.cumsum([0] + [len(entries) for entries in postings.values()])
        ids = np.array([i for entries in postings.values() for i, _ in entries], dtype=np.int32)
        frequency = np.array([n for entries in postings.values() for _, n in entries], dtype=np.float32)
        df = np.repeat(np.diff(starts), np.diff(starts)).astype(np.float32)
        idf = np.log1p((len(texts) - df + 0.5) / (df + 0.5))
        return cls(vocabulary, starts, ids, (idf * frequency * (k1 + 1) / (frequency + norm[ids])).astype(np.float32), len(texts))

    def scores(self, query: str, weighted: bool = True) -> np.ndarray:
        """(chunks,) scores; 0 where no term of the query occurs. Not `weighted`, they are the plain formula's."""
        total = np.zeros(self.size, dtype=np.float32)
        for term, n in Counter(terms(query)).items():
            t = self.vocabulary.get(term)
            if t is not None:
                part = slice(self.starts[t], self.starts[t + 1])
                worth = self.rarity(term) ** RARITY * (GRAMMAR if HIRAGANA.fullmatch(term) else 1) if weighted else 1
                total[self.ids[part]] += n * worth * self.weights[part]
        return total

    def coverage(self, query: str) -> np.ndarray:
        """(chunks,) share of the query's known terms that each chunk holds, weighted by their rarity."""
        held, total = np.zeros(self.size, dtype=np.float32), 1e-9
        for term in set(terms(query)) & self.vocabulary.keys():
            t, worth = self.vocabulary[term], self.rarity(term)
            held[self.ids[self.starts[t] : self.starts[t + 1]]] += worth
            total += worth
        return held / total

    def rarity(self, term: str) -> float:
        """The term's inverse document frequency; a term that no chunk has is as rare as can be."""
        t = self.vocabulary.get(term)
        df = int(self.starts[t + 1] - self.starts[t]) if t is not None else 0
        return math.log1p((self.size - df + 0.5) / (df + 0.5))

    def save(self, folder: Path, name: str = "bm25") -> None:
        (folder / f"{name}.json").write_text(
            json.dumps({"size": self.size, "terms": list(self.vocabulary)}, ensure_ascii=False), encoding="utf-8"
        )
        np.savez(folder / f"{name}.npz", starts=self.starts, ids=self.ids, weights=self.weights)

    @classmethod
    def open(cls, folder: Path, name: str = "bm25") -> "BM25":
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        arrays = np.load(folder / f"{name}.npz")
        return cls({term: t for t, term in enumerate(facts["terms"])}, arrays["starts"], arrays["ids"], arrays["weights"], facts["size"])
