"""Hybrid search: dense and BM25 scores put on one scale and mixed by the question's language.

Sparse scores are BM25 of the chunk, of its best sentence and of its document. Scores are z-scored before they are mixed, over all chunks that
the asker may see and asks for: what is filtered out leaves no trace in them. Rank fusion is left out on purpose: where one side is weak (the
bundled embedder on Japanese) it drags the other down (measured hit@1 0.40 against 0.91 for BM25 alone on JSQuAD).
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.documents.access import BOTH, admits
from tasks.errors import MigakiError
from tasks.rag.bm25 import BM25, Question, Scope
from tasks.rag.confidence import confidence_of
from tasks.rag.dense import Dense
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import CHUNKS, FACTS, VECTORS, read_facts
from tasks.rag.labels import LabelsNow
from tasks.rag.postings import LEVELS, document_numbers
from tasks.text.detection import detect
from tasks.text.language import languages
from tasks.text.terms import subject

COVERAGE = 0.3  # power of the share of the question's terms that a chunk holds: two terms once each beat one term twice
SHOWN = ("chunk_id", "document", "title", "heading", "text", "lang", "page")
LIKE = 0.35  # cosine from which a chunk may be found without sharing a term with the question
CANDIDATES = 200  # of each side, where not all cosines are worked out
FILTERS = 32  # parts of the index that are remembered

Where = Mapping[str, str | int | Collection[str]]


@dataclass(frozen=True)
class Hit:
    """A chunk that was found. `score` is the mixed z-score, `sparse` the BM25 score, `dense` the cosine; `page` counts from 1, where there are pages.
    A `restricted` one is not for everybody."""

    chunk_id: str
    document: str
    title: str
    heading: str
    text: str
    lang: str
    score: float
    sparse: float
    dense: float
    page: int | None = None
    restricted: bool = False


def z_scores(values: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Mean 0, standard deviation 1, measured `among` other values where those are given; values that are all the same give zeros."""
    among = values if among is None else among
    return (values - among.mean()) / (among.std() + 1e-6)


@dataclass(frozen=True, eq=False)
class Part:
    """The chunks that a search is about; its scores are those of an index that holds nothing else, except that the score of a
    document is that of the whole document."""

    mask: np.ndarray  # (chunks,) bool
    numbers: np.ndarray  # of the chunks in it
    scopes: dict[str, Scope | None]  # by level


@dataclass(frozen=True)
class _Seen:
    """What of an index a person of these groups may see, as far as confidence rests on it."""

    index: "Retriever"
    groups: Collection[str]

    def rarity(self, term: str) -> float:
        return self.index.rarity(term, self.groups)


class Retriever:
    """An opened index. Safe to share between threads."""

    def __init__(self, folder: Path, embedder: Embedder):
        self.facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.embedder = embedder
        self.levels = {name: BM25.open(folder, name) for name in LEVELS}
        self.sentence_chunk = np.repeat(np.arange(len(self.facts["sentences"])), self.facts["sentences"])  # (sentences,) whose each is
        self.dense = Dense(folder / VECTORS)
        self.chunks = pq.read_table(folder / CHUNKS).combine_chunks()
        self._shown = {name: self.chunks[name].chunk(0) for name in SHOWN}
        self.document = document_numbers(self._shown["document"].to_pylist())[0]  # (chunks,) number of each chunk's document
        self.everything = self._part(np.ones(len(self.chunks), bool), dict.fromkeys(LEVELS))
        self._allowed = [frozenset(groups) for groups in self.chunks["allowed"].to_pylist()]
        self._labels = set(self._allowed)
        self.groups = frozenset(group for label in self._labels for entry in label for group in entry.split(BOTH))  # all that are named
        self._folder = folder
        self._part_for = lru_cache(FILTERS)(self._filtered)
        self._sample_of = lru_cache(FILTERS)(lambda part: self.dense.sample(part.mask))

    @cached_property
    def _labels_now(self) -> LabelsNow:
        return LabelsNow(self._folder)

    def __len__(self) -> int:
        return len(self.chunks)

    def documents(self, groups: Collection[str] = frozenset()) -> int:
        """How many documents a person of these groups may see."""
        return len(np.unique(self.document[self._wanted(groups, {}).mask]))

    def confidence(self, query: str, hits: list[Hit], groups: Collection[str] = frozenset()) -> float:
        """Probability that the hits answer the question of a person of these groups; 0 without hits."""
        return confidence_of(_Seen(self, groups), query, hits)

    def rarity(self, term: str, groups: Collection[str] = frozenset()) -> float:
        """Inverse document frequency of a term among the chunks that a person of these groups may see."""
        return self.levels["bm25"].rarity(term, self._wanted(groups, {}).scopes["bm25"])

    def admits(self, source: Mapping[str, Any], groups: Collection[str] = frozenset()) -> bool | None:
        """Whether a person of these groups may see today what an answer rested on, as `LabelsNow.admit` tells it."""
        return self._labels_now.admit(source, groups)

    def search(self, query: str, k: int = 5, groups: Collection[str] = frozenset(), where: Where = {}) -> list[Hit]:  # noqa: B006
        """The best `k` chunks, best first; fewer where fewer share a term with the question or are like it.

        Args:
            groups: of the asker, who sees what is for everyone and what one of them may see.
            where: what must hold of a chunk: its `document`, `lang`, `title`, `heading` or `page`, or a key of its document's own
                metadata, with the value or several to choose from.
        """
        return self.search_all([query], k, groups, where)[0]

    def search_all(
        self,
        queries: list[str],
        k: int = 5,
        groups: Collection[str] = frozenset(),
        where: Where = {},  # noqa: B006
        vectors: np.ndarray | None = None,
    ) -> list[list[Hit]]:
        """`search` for many questions, embedded together, or with (queries, dimension) vectors that are there already."""
        part = self._wanted(groups, where)
        if not queries or not len(part.numbers):
            return [[] for _ in queries]
        vectors = self.embedder.embed_queries(queries) if vectors is None else vectors
        return [self._best(query, vector, k, part) if query.strip() else [] for query, vector in zip(queries, vectors, strict=True)]

    def _wanted(self, groups: Collection[str], where: Where) -> Part:
        """The part that a person of those groups may see and asks for."""
        seen = frozenset(label for label in self._labels if admits(label, groups))
        if seen == self._labels and not where:
            return self.everything
        wanted = {name: frozenset([value] if isinstance(value, str | int) else value) for name, value in where.items()}
        return self._part_for(seen, frozenset(wanted.items()))

    def _filtered(self, seen: frozenset[frozenset[str]], wanted: frozenset[tuple[str, frozenset]]) -> Part:
        mask = np.fromiter((label in seen for label in self._allowed), bool, len(self))
        for name, values in wanted:
            told = {str(value) for value in values}
            mask &= np.fromiter((value is not None and str(value) in told for value in self._column(name)), bool, len(self))
        sentence = np.repeat(mask, self.facts["sentences"])
        document = np.zeros(self.levels["documents"].size, bool)
        document[self.document[mask]] = True
        masks = {"bm25": mask, "sentences": sentence, "documents": document}
        return self._part(mask, {name: self.levels[name].scope(masks[name]) for name in LEVELS})

    def _part(self, mask: np.ndarray, scopes: dict[str, Scope | None]) -> Part:
        return Part(mask, np.flatnonzero(mask), scopes)

    def _column(self, name: str) -> list[Any]:
        """What the chunks say under a name, None where they say nothing."""
        if name in SHOWN:
            return self._shown[name].to_pylist()
        parsed: dict[str, Any] = {}
        return [parsed.setdefault(meta, json.loads(meta)).get(name) for meta in self.chunks["meta"].to_pylist()]

    def _sparse(self, asked: Question, part: Part) -> np.ndarray:
        """(chunks,) BM25 of the chunk, of its best sentence (terms that stand together say more) and of its document (what it is about)."""
        sentence, document = self.facts["sentence_weight"], self.facts["document_weight"]
        chunk, covered = self.levels["bm25"].scores_and_coverage(asked, part.scopes["bm25"])
        held = np.flatnonzero(covered)  # the others score 0
        best = self._best_sentences(self.levels["sentences"].scores(asked, scope=part.scopes["sentences"]))[held]
        own = (1 - sentence) * chunk[held] + sentence * best
        whole = self.levels["documents"].scores(asked, scope=part.scopes["documents"])[self.document[held]]
        total = np.zeros(len(self), np.float32)
        total[held] = ((1 - document) * own + document * whole) * covered[held] ** COVERAGE
        return total

    def _best_sentences(self, scores: np.ndarray) -> np.ndarray:
        """(chunks,) the highest score among the sentences of each."""
        best, scored = np.zeros(len(self), np.float32), np.flatnonzero(scores)
        if len(scored):
            chunk = self.sentence_chunk[scored]
            first = np.flatnonzero(np.diff(chunk, prepend=-1))
            best[chunk[first]] = np.maximum.reduceat(scores[scored], first)
        return best

    def _best(self, query: str, vector: np.ndarray, k: int, part: Part) -> list[Hit]:
        lang = detect(query)
        weight = self.facts["dense_weight"].get(lang, languages()[lang].DENSE_WEIGHT)  # an index may be older than a language
        sparse = self._sparse(Question.of(subject(query)), part)[part.numbers]
        if self.dense.flat:
            numbers, chosen = part.numbers, sparse
            cosine = scale = self.dense.cosines(vector)[part.numbers]
        else:
            near = self.dense.nearest(vector, CANDIDATES, None if part is self.everything else part.mask)
            places = np.union1d(_largest(sparse, CANDIDATES), np.searchsorted(part.numbers, near))
            numbers, chosen = part.numbers[places], sparse[places]
            cosine, scale = self.dense.vectors(numbers) @ vector, self._sample_of(part) @ vector
        mixed = (1 - weight) * z_scores(chosen, sparse) + weight * z_scores(cosine, scale)
        # An embedder that counts for less than half is weak in this language, so a chunk that it alone likes is left out.
        candidates = np.flatnonzero((chosen > 0) | ((weight >= 0.5) & (cosine >= LIKE)))
        best = candidates[_largest(mixed[candidates], k)]
        return [self._hit(int(numbers[i]), float(mixed[i]), float(chosen[i]), float(cosine[i])) for i in best]

    def _hit(self, number: int, score: float, sparse: float, dense: float) -> Hit:
        shown = {name: column[number].as_py() for name, column in self._shown.items()}
        return Hit(**shown, score=score, sparse=sparse, dense=dense, restricted=bool(self._allowed[number]))


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest values, largest first; of equal ones the earlier first."""
    places = np.arange(len(values))
    if len(values) > count > 0:
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return places[np.argsort(-values[places], kind="stable")][:count]


def open_index(
    folder: Path,
    embedder_path: Path,
    checksum: str,
    device: str = "cpu",
    backend: str | None = None,
    loaded: Embedder | None = None,
    exports: Path | None = None,
) -> Retriever:
    """The index in a folder.

    Args:
        backend: of the embedder; None takes the one that the index was built with.
        loaded: an embedder that is there already, taken if it is the one.
        exports: folder that keeps embedders quantized to int8 (default: beside the model).

    Raises:
        MigakiError: it was built with another embedder, or otherwise used, than the one at hand, or by another version of Migaki.
    """
    facts = read_facts(folder)
    if facts["embedder"] != checksum:
        raise MigakiError(
            f"this index was built with {facts['embedder_reference']!r}, another embedder than the one set (run.embedder): "
            "build it anew with `migaki index`, or set run.embedder back"
        )
    if loaded is not None and loaded.fingerprint == facts["fingerprint"]:
        return Retriever(folder, loaded)
    backend = backend or facts["embedder_backend"]
    kept = facts.get("prompts") or {}  # indexes of before there were prefixes have none: then the model's own, as it was
    embedder = Embedder(
        embedder_path,
        device,
        backend,
        checksum,
        exports,
        reference=facts["embedder_reference"],
        query_prefix=kept.get("query"),
        passage_prefix=kept.get("passage"),
    )
    if facts["fingerprint"] != embedder.fingerprint:
        raise MigakiError(
            f"this index was built with the embedder {facts['fingerprint']!r}, and the one at hand is {embedder.fingerprint!r}: "
            f"build it anew with `migaki index --set index.embedder_backend={backend}`, or take the embedder as it was"
        )
    return Retriever(folder, embedder)


def retrieval_figures(ranks: list[int]) -> dict[str, float]:
    """hit@1, hit@5 and MRR@10 from the ranks of the right documents (from 1; 0 where it is not among the first ten)."""
    n = max(1, len(ranks))
    return {
        "hit@1": sum(rank == 1 for rank in ranks) / n,
        "hit@5": sum(0 < rank <= 5 for rank in ranks) / n,
        "mrr@10": sum(1 / rank for rank in ranks if rank) / n,
    }


def document_rank(hits: list[Hit], document: str) -> int:
    """Rank of a document among the distinct documents of the hits, 0 where it is not among the first ten."""
    order = list(dict.fromkeys(hit.document for hit in hits))[:10]
    return order.index(document) + 1 if document in order else 0
