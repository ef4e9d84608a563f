"""Hybrid search: what a chunk means and what words of the question it has, on one scale, mixed by the question's language.

Meaning is told by vectors (`tasks.rag.meaning`), in standard deviations. Words are told by BM25 of the chunk, of its best sentence and of its document,
as a share of what a chunk would get that has all of the question's words: people who ask in words of their own share few with any chunk, and
then words count for little; a question that repeats its paragraph's words is found by them. (Standard deviations of BM25 would count alike in both:
measured, answers in the first two chunks of a handbook 0.78 against 0.86.) All measures are over the chunks that the asker may see and asks for:
what is filtered out leaves no trace in them.
"""

import copy
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.documents.access import BOTH, admits
from tasks.rag.bm25 import BM25, Question, Scope
from tasks.rag.confidence import CALIBRATIONS, Thresholds, confidence_of
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import CHUNKS, FACTS
from tasks.rag.labels import LabelsNow
from tasks.rag.meaning import BEST_SENTENCE, CANDIDATES, FILTERS, Asked, Meaning
from tasks.rag.postings import LEVELS, document_numbers
from tasks.rag.sentence_vectors import sentence_texts
from tasks.text.detection import detect
from tasks.text.language import languages
from tasks.text.sentences import sentences
from tasks.text.terms import subject

WORDS = 12.0  # standard deviations of the cosine that all of a question's words are worth, where words and meaning count alike
ROUNDING = 1e-3  # of a score: chunks that are all alike are found or left out together
COVERAGE = 0.3  # power of the share of the question's terms that a chunk holds: two terms once each beat one term twice
SHOWN = ("chunk_id", "document", "title", "heading", "text", "lang", "page")

Where = Mapping[str, str | int | Collection[str]]


@dataclass(frozen=True)
class Hit:
    """A chunk that was found. `score` is the mixed score, `sparse` the BM25 score, `sentence` the cosine of its best sentence (of the whole, in an
    index of an earlier version), `dense` the cosine that tells best: of the companion where its language has one, else that of the best
    sentence. `page` counts from 1, where there are pages. A `restricted` one is not for everybody."""

    chunk_id: str
    document: str
    title: str
    heading: str
    text: str
    lang: str
    score: float
    sparse: float
    dense: float
    sentence: float = 0.0
    page: int | None = None
    restricted: bool = False


@dataclass(frozen=True)
class Ranks:
    """Where each side alone puts a chunk, from 1; chunks of the same score share the better rank. `sparse` is None without a term of the question."""

    sparse: int | None
    dense: int


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

    version = ""  # of its artifact, where whoever opens it says so

    def __init__(self, folder: Path, embedder: Embedder, companions: Mapping[str, Embedder] = MappingProxyType({})):
        """`companions`: by language, those that the index was made with."""
        self.facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.embedder = embedder
        self.levels = {name: BM25.open(folder, name) for name in LEVELS}
        self.sentence_chunk = np.repeat(np.arange(len(self.facts["sentences"])), self.facts["sentences"])  # (sentences,) whose each is
        self.chunks = pq.read_table(folder / CHUNKS).combine_chunks()
        self._shown = {name: self.chunks[name].chunk(0) for name in SHOWN}
        self.document = document_numbers(self._shown["document"].to_pylist())[0]  # (chunks,) number of each chunk's document
        self.everything = self._part(np.ones(len(self.chunks), bool), dict.fromkeys(LEVELS))
        self._allowed = [frozenset(groups) for groups in self.chunks["allowed"].to_pylist()]
        self._labels = set(self._allowed)
        self.groups = frozenset(group for label in self._labels for entry in label for group in entry.split(BOTH))  # all that are named
        self._folder = folder
        self._part_for = lru_cache(FILTERS)(self._filtered)
        self.meaning = Meaning(folder, self.facts, embedder, companions, self._shown["lang"].to_pylist())

    @cached_property
    def _labels_now(self) -> LabelsNow:
        return LabelsNow(self._folder)

    def __len__(self) -> int:
        return len(self.chunks)

    def documents(self, groups: Collection[str] = frozenset()) -> int:
        """How many documents a person of these groups may see."""
        return self.size(groups)[0]

    def size(self, groups: Collection[str] = frozenset(), where: Where = {}) -> tuple[int, int]:  # noqa: B006
        """How many documents and how many chunks a search with these arguments is about."""
        part = self._wanted(groups, where)
        return len(np.unique(self.document[part.mask])), len(part.numbers)

    def standing(self) -> "Retriever":
        """Itself: nothing takes its place."""
        return self

    def without(self, documents: Collection[str]) -> "Retriever":
        """This index as if it did not hold these documents; like it in all else, and with the same vectors. Names that it has not are passed over."""
        view = copy.copy(self)
        kept = self.everything.mask & ~pc.is_in(self._shown["document"], pa.array(list(documents), pa.string())).to_numpy(
            zero_copy_only=False
        )
        view.everything = self._scoped(kept)
        view._part_for = lru_cache(FILTERS)(view._filtered)
        return view

    def confidence(self, query: str, hits: list[Hit], groups: Collection[str] = frozenset()) -> float:
        """Probability that the hits answer the question of a person of these groups; 0 without hits."""
        return confidence_of(_Seen(self, groups), query, hits)

    def thresholds(self, query: str, cost_wrong: float) -> Thresholds:
        """From which confidence on a question is answered, and from which on what was found is quoted."""
        return CALIBRATIONS[detect(query)].thresholds(cost_wrong)

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
        asked: list[Asked] | None = None,
    ) -> list[list[Hit]]:
        """`search` for many questions, embedded together, or as `meaning.ask` gave them before."""
        part = self._wanted(groups, where)
        if not queries or not len(part.numbers):
            return [[] for _ in queries]
        if asked is None:
            asked = self.meaning.ask(queries) if len(queries) > 1 else [self.meaning.ask_now(queries[0])]
        return [self._best(query, vectors, k, part) if query.strip() else [] for query, vectors in zip(queries, asked, strict=True)]

    def ranks(
        self,
        query: str,
        hits: list[Hit],
        groups: Collection[str] = frozenset(),
        where: Where = {},  # noqa: B006
    ) -> list[Ranks]:
        """Of each hit of a search with the same arguments, its ranks among all chunks that the asker may see and asks for.

        Every cosine is worked out, also where search looks at the nearest alone: for people who look into an index, not for each question.
        """
        if not hits:
            return []
        part = self._wanted(groups, where)
        sparse, asked = self._sparse(Question.of(subject(query)), part), self.meaning.ask([query])[0]
        dense = np.full(len(self), -np.inf, np.float32)
        meant = self.meaning.score(asked, part.numbers, part)
        sentence = self.meaning.sentence_cosines(asked, part.numbers)
        rise = 0.0 if sentence is None else BEST_SENTENCE * (sentence - meant.cosine) * meant.per_cosine
        dense[part.numbers] = meant.score + rise
        at = [self._number[hit.chunk_id] for hit in hits]
        return [Ranks(_rank(sparse, i) if sparse[i] > 0 else None, _rank(dense, i)) for i in at]

    def sentences(self, query: str, chunk_ids: Collection[str]) -> dict[str, list[tuple[str, float]]]:
        """By chunk, its sentences in their order, each with its cosine with a question; chunks that the index has not are left out.

        An index of an earlier version has no vectors of sentences: all cosines are 0.
        """
        vector, found = self.meaning.ask_now(query).vector, {}
        for chunk_id, number in ((own, self._number[own]) for own in chunk_ids if own in self._number):
            text = self._shown["text"][number].as_py()
            if self.meaning.sentences is None:
                found[chunk_id] = [(part, 0.0) for part in sentences(text)]
            else:
                parts = sentence_texts(text, self.chunks["places"][number].as_py())
                found[chunk_id] = list(zip(parts, self.meaning.sentences.cosines(vector, number).tolist(), strict=True))
        return found

    @cached_property
    def _number(self) -> dict[str, int]:
        return {chunk_id: number for number, chunk_id in enumerate(self._shown["chunk_id"].to_pylist())}

    def _wanted(self, groups: Collection[str], where: Where) -> Part:
        """The part that a person of those groups may see and asks for."""
        seen = frozenset(label for label in self._labels if admits(label, groups))
        if seen == self._labels and not where:
            return self.everything
        wanted = {name: frozenset([value] if isinstance(value, str | int) else value) for name, value in where.items()}
        return self._part_for(seen, frozenset(wanted.items()))

    def _filtered(self, seen: frozenset[frozenset[str]], wanted: frozenset[tuple[str, frozenset]]) -> Part:
        mask = self.everything.mask & np.fromiter((label in seen for label in self._allowed), bool, len(self))
        for name, values in wanted:
            told = {str(value) for value in values}
            mask &= np.fromiter((value is not None and str(value) in told for value in self._column(name)), bool, len(self))
        return self._scoped(mask)

    def _scoped(self, mask: np.ndarray) -> Part:
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

    def _best(self, query: str, asked: Asked, k: int, part: Part) -> list[Hit]:
        question, weight = Question.of(subject(query)), self._dense_weight(asked.lang)
        sparse = self._sparse(question, part)[part.numbers]
        numbers, words = part.numbers, sparse
        if not self.meaning.flat:
            near = np.searchsorted(part.numbers, self.meaning.near(asked, part, len(part.numbers) == len(self)))
            places = np.union1d(_largest(sparse, CANDIDATES), near)
            numbers, words = part.numbers[places], sparse[places]
        meant = self.meaning.score(asked, numbers, part)
        share = words / max(self.levels["bm25"].ideal(question, part.scopes["bm25"]), 1e-6)
        # Without sharing a term, a chunk is found where it is no more unlike the question than chunks are in the mean. An embedder that counts for
        # less than half is weak in this language, so a chunk that it alone likes is left out.
        kept = np.flatnonzero((words > 0) | ((weight >= 0.5) & (meant.score >= -ROUNDING)))
        mixed = weight * meant.score[kept] + (1 - weight) * WORDS * share[kept]
        first = _largest(mixed, max(k, CANDIDATES))
        kept, mixed = kept[first], mixed[first]
        sentence = self.meaning.sentence_cosines(asked, numbers[kept])
        if sentence is None:
            sentence = meant.cosine[kept]
        mixed = mixed + weight * BEST_SENTENCE * (sentence - meant.cosine[kept]) * meant.per_cosine[kept]
        dense = np.where(np.isnan(meant.companion[kept]), sentence, meant.companion[kept])
        return [
            self._hit(int(numbers[kept[i]]), float(mixed[i]), float(words[kept[i]]), float(dense[i]), float(sentence[i]))
            for i in _largest(mixed, k)
        ]

    def _dense_weight(self, lang: str) -> float:
        """Share of meaning in the score of a question in that language; an index may be older than a language."""
        return float(self.facts["dense_weight"].get(lang, languages()[lang].DENSE_WEIGHT))

    def _hit(self, number: int, score: float, sparse: float, dense: float, sentence: float) -> Hit:
        shown = {name: column[number].as_py() for name, column in self._shown.items()}
        return Hit(**shown, score=score, sparse=sparse, dense=dense, sentence=sentence, restricted=bool(self._allowed[number]))


def _rank(values: np.ndarray, place: int) -> int:
    """Rank from 1 of the value at a place, largest first."""
    return 1 + int(np.count_nonzero(values > values[place]))


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest values, largest first; of equal ones the earlier first."""
    places = np.arange(len(values))
    if len(values) > count > 0:
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return places[np.argsort(-values[places], kind="stable")][:count]


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
