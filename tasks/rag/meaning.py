"""The side of search that goes by meaning: cosines of a question with chunks and with their best sentences, all in standard deviations.

A cosine says little by itself: one embedder's unrelated texts have 0.1, another's 0.8. So cosines are measured in standard deviations over all
chunks that the asker may see and asks for, which also puts two embedders on one scale: the index's own, which reads all languages, and its
companion, which reads one language better and of whose chunks questions in that language are asked of both.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tasks.rag.confidence import Around, share_of
from tasks.rag.dense import Dense, products
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import VECTORS, companion_file
from tasks.rag.sentence_vectors import SentenceVectors
from tasks.text.detection import detect

BEST_SENTENCE = 0.5  # share of the best sentence beside the chunk's vector
COMPANION = 0.5  # share of the companion beside the index's own embedder
CANDIDATES = 200  # chunks whose sentences are looked at; and of each side, where not all cosines are worked out
REMEMBERED = 32  # questions, which are asked for again: for the sentences to quote, and after them
FILTERS = 32  # parts of the index that are remembered
BESIDE = ThreadPoolExecutor(thread_name_prefix="search")  # an embedder reads a question on one thread: what else a search needs, on others
LEAST = 0.005  # deviation of cosines that is taken for one: what differs by less says nothing, and one chunk by itself has none
Embed = Callable[[Embedder, list[str]], np.ndarray]


class Part(Hashable, Protocol):
    """The chunks that a search is about; the same part is the same object."""

    @property
    def mask(self) -> np.ndarray: ...

    @property
    def numbers(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Asked:
    """A question as vectors: by the index's embedder and, where its language has one, by the companion."""

    lang: str
    vector: np.ndarray
    companion: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Meant:
    """What the vectors say of some chunks, each (chunks,).

    Attributes:
        score: in standard deviations.
        cosine: by the index's own embedder.
        companion: by the companion, NaN where the chunk has no vector of it.
        per_cosine: by how much the score rises with the cosine of the best sentence.
    """

    score: np.ndarray
    cosine: np.ndarray
    companion: np.ndarray
    per_cosine: np.ndarray


class Companion:
    """An embedder with its vectors of the chunks of one language."""

    def __init__(self, path: Path, embedder: Embedder, chunks: np.ndarray, size: int):
        """`chunks`: numbers of the chunks of that language, among `size`."""
        self.embedder, self.chunks, self.dense = embedder, chunks, Dense(path)
        self.row = np.full(size, -1, np.int64)
        self.row[chunks] = np.arange(len(chunks))


class Meaning:
    """The vectors of an opened index. Safe to share between threads."""

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], embedder: Embedder, companions: Mapping[str, Embedder], langs: Sequence[str]
    ):
        """`langs`: of each chunk."""
        self.embedder, self.dense = embedder, Dense(folder / VECTORS)
        lang = np.array(langs)
        self.companions = {  # an index without chunks in a language has no vectors of its companion
            code: Companion(folder / companion_file(code), own, np.flatnonzero(lang == code), len(lang))
            for code, own in companions.items()
            if code in facts.get("companions", {})
        }
        counts = np.asarray(facts["sentences"], np.int64)
        self.sentences = SentenceVectors(folder, counts) if SentenceVectors.there(folder) else None
        self._asked_now = lru_cache(REMEMBERED)(self._ask_now)
        self._scale = lru_cache(FILTERS)(lambda part: self.dense.sample(part.mask))
        self._companion_scale = lru_cache(FILTERS)(lambda part, code: self._sampled(part, self.companions[code]))

    @property
    def flat(self) -> bool:
        """Whether all cosines are worked out for each question."""
        return self.dense.flat

    @property
    def embedders(self) -> list[Embedder]:
        return [self.embedder, *(companion.embedder for companion in self.companions.values())]

    def ask(self, queries: list[str], embed: Embed = lambda embedder, texts: embedder.embed_queries(texts)) -> list[Asked]:
        """The questions as vectors; `embed` gives (texts, dimension) vectors of questions by an embedder."""
        vectors, langs = embed(self.embedder, queries), [detect(query) for query in queries]
        second: dict[int, np.ndarray] = {}
        for code, companion in self.companions.items():
            own = [i for i, lang in enumerate(langs) if lang == code]
            if own:
                second |= dict(zip(own, embed(companion.embedder, [queries[i] for i in own]), strict=True))
        return [Asked(lang, vector, second.get(i)) for i, (lang, vector) in enumerate(zip(langs, vectors, strict=True))]

    def ask_now(self, query: str) -> Asked:
        """One question, for which somebody waits: both embedders read it at once. The last ones are remembered."""
        return self._asked_now(query)

    def _ask_now(self, query: str) -> Asked:
        lang = detect(query)
        companion = self.companions.get(lang)
        beside = BESIDE.submit(companion.embedder.embed_queries, [query]) if companion else None
        vector = self.embedder.embed_queries([query])[0]
        return Asked(lang, vector, beside.result()[0] if beside else None)

    def near(self, asked: Asked, part: Part, whole: bool) -> np.ndarray:
        """Numbers of chunks of the part that are nearest to the question by any of the embedders; `whole`: the part is all there is."""
        found = self.dense.nearest(asked.vector, CANDIDATES, None if whole else part.mask)
        if asked.companion is None:
            return found
        companion = self.companions[asked.lang]
        rows = companion.dense.nearest(asked.companion, CANDIDATES, None if whole else part.mask[companion.chunks])
        return np.union1d(found, companion.chunks[rows])

    def score(self, asked: Asked, numbers: np.ndarray, part: Part) -> Meant:
        """What the vectors of whole chunks say of those in `numbers`, which are of the part (all of it, where the index is flat)."""
        if self.flat:
            cosine = scale = self.dense.cosines(asked.vector)[numbers]
        else:
            cosine, scale = products(self.dense.vectors(numbers), asked.vector), products(self._scale(part), asked.vector)
        score, per_cosine = standardized(cosine, scale), np.full(len(numbers), 1 / _deviation(scale), np.float32)
        beside = np.full(len(numbers), np.nan, np.float32)
        if asked.companion is None:
            return Meant(score, cosine, beside, per_cosine)
        rows = self.companions[asked.lang].row[numbers]
        at = np.flatnonzero(rows >= 0)
        other, scale = self._companion(asked, rows[at], part)
        score[at] = (1 - COMPANION) * score[at] + COMPANION * standardized(other, scale)
        per_cosine[at] *= 1 - COMPANION
        beside[at] = other
        return Meant(score, cosine, beside, per_cosine)

    def around(self, asked: Asked, part: Part) -> Around:
        """How a question lies to the chunks of the part, or to a sample of them."""
        scale = products(self._scale(part), asked.vector)
        unrelated = self.embedder.unrelated(asked.lang)
        mean = float(scale.mean()) if len(scale) else unrelated
        return Around(unrelated, mean, self._nearest_companion(asked, part))

    def _nearest_companion(self, asked: Asked, part: Part) -> float:
        """The companion's highest cosine with the chunks of its language, as a share; 0 where the language has none."""
        if asked.companion is None:
            return 0.0
        companion = self.companions[asked.lang]
        rows = companion.dense.nearest(asked.companion, 1, part.mask[companion.chunks])
        highest = float(products(companion.dense.vectors(rows), asked.companion).max()) if len(rows) else 0.0
        return share_of(highest, companion.embedder.unrelated(asked.lang))

    def sentence_cosines(self, asked: Asked, numbers: np.ndarray) -> np.ndarray | None:
        """(numbers,) cosine with the best sentence of each chunk; None where the index has no vectors of sentences."""
        return self.sentences.best(asked.vector, numbers) if self.sentences else None

    def _companion(self, asked: Asked, rows: np.ndarray, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """(cosines of those rows of the companion's, cosines that give their scale)."""
        companion = self.companions[asked.lang]
        assert asked.companion is not None
        if companion.dense.flat:
            cosines = companion.dense.cosines(asked.companion)
            return cosines[rows], cosines[part.mask[companion.chunks]]
        vectors, scale = companion.dense.vectors(rows), self._companion_scale(part, asked.lang)
        return products(vectors, asked.companion), products(scale, asked.companion)

    def _sampled(self, part: Part, companion: Companion) -> np.ndarray:
        return companion.dense.sample(part.mask[companion.chunks])


def standardized(cosine: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """In standard deviations from the mean `among` other cosines, or among themselves."""
    among = cosine if among is None else among
    return (cosine - among.mean()) / _deviation(among) if len(among) else np.zeros_like(cosine)


def _deviation(cosine: np.ndarray) -> float:
    return max(float(cosine.std()), LEAST) if len(cosine) else 1.0
