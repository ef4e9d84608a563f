"""Hybrid search: dense and BM25 scores put on one scale and mixed by the question's language.

Sparse scores are BM25 of the chunk, of its best sentence and of its document. Scores are z-scored over all chunks before they are mixed. Rank fusion is left out on purpose: where one side is weak (the bundled embedder on
Japanese) it drags the other down (measured hit@1 0.40 against 0.91 for BM25 alone on JSQuAD).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.language import detect
from tasks.errors import MigakiError
from tasks.rag.bm25 import BM25
from tasks.rag.chunking import sentences
from tasks.rag.embedding import Embedder
from tasks.rag.settings import IndexSettings

FACTS, VECTORS, CHUNKS = "index.json", "dense.faiss", "chunks.parquet"
SENTENCES, DOCUMENTS = "sentences", "documents"  # postings beside those of the chunks
SENTENCE_B = 0.5  # BM25's b for single sentences
COVERAGE = 0.3  # power of the share of the question's terms that a chunk holds: two terms once each beat one term twice
FORMAT = 2  # of the files below; raised when an older index can no longer be read
SHOWN = ("chunk_id", "document", "title", "heading", "text", "lang")
LIKE = 0.35  # cosine from which a chunk may be found without sharing a term with the question


@dataclass(frozen=True)
class Hit:
    """A chunk that was found. `score` is the mixed z-score, `sparse` the BM25 score, `dense` the cosine."""

    chunk_id: str
    document: str
    title: str
    heading: str
    text: str
    lang: str
    score: float
    sparse: float
    dense: float


def write_index(
    folder: Path, chunks: list[dict[str, Any]], vectors: np.ndarray, settings: IndexSettings, checksum: str, reference: str
) -> None:
    """Write what `open_index` reads.

    Args:
        chunks: rows with at least `indexed` and what `Hit` shows of a chunk.
        vectors: (chunks, dimension) unit vectors, in the same order.
        checksum, reference: of the embedder that made them.
    """
    dense = faiss.IndexFlatIP(vectors.shape[1])
    dense.add(vectors)
    faiss.write_index(dense, str(folder / VECTORS))
    BM25.build([chunk["indexed"] for chunk in chunks], settings.k1, settings.b).save(folder)
    parts = [sentences(chunk["text"]) or [""] for chunk in chunks]
    BM25.build([sentence for part in parts for sentence in part], settings.k1, SENTENCE_B).save(folder, SENTENCES)
    BM25.build(list(_whole(chunks).values()), settings.k1, settings.b).save(folder, DOCUMENTS)
    pq.write_table(pa.Table.from_pylist(chunks), folder / CHUNKS)
    facts = {
        "format": FORMAT,
        "embedder": checksum,
        "embedder_reference": reference,
        "dense_weight": {"en": settings.dense_weight_en, "ja": settings.dense_weight_ja},
        "sentence_weight": settings.sentence_weight,
        "document_weight": settings.document_weight,
        "sentences": [len(part) for part in parts],
    }
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _whole(chunks: list[dict[str, Any]]) -> dict[str, str]:
    """Each document's text, put together from its chunks."""
    texts: dict[str, list[str]] = {}
    for chunk in chunks:
        texts.setdefault(chunk["document"], []).append(chunk["text"])
    return {document: "\n".join(parts) for document, parts in texts.items()}


ASKING = re.compile(
    r"(とは|って|は)?(何|なに|なん)(のこと)?(です|でしょう)?か?[。??]*$|(について|を)?(簡単に|詳しく)?(教えて|説明して)(ください|もらえますか|くれますか)?[。??]*$"
)


def z_scores(values: np.ndarray) -> np.ndarray:
    """Mean 0, standard deviation 1; values that are all the same give zeros."""
    return (values - values.mean()) / (values.std() + 1e-6)


def subject(query: str) -> str:
    """A question without the phrase that only makes it a question: with character pairs, 「とは何ですか」 would match every text that asks."""
    return ASKING.sub("", query.strip()) or query


class Retriever:
    """An opened index."""

    def __init__(self, folder: Path, embedder: Embedder):
        self.facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.embedder = embedder
        self.bm25, self.sentences, self.documents = BM25.open(folder), BM25.open(folder, SENTENCES), BM25.open(folder, DOCUMENTS)
        self.first = np.cumsum([0, *self.facts["sentences"][:-1]])  # (chunks,) number of each chunk's first sentence
        self.dense = faiss.read_index(str(folder / VECTORS))
        # The scale of the cosines needs all of them, so the flat index's own vectors are multiplied; a search for all would also sort them.
        self.vectors = faiss.rev_swig_ptr(self.dense.get_xb(), self.dense.ntotal * self.dense.d).reshape(self.dense.ntotal, self.dense.d)
        self.chunks = pq.read_table(folder / CHUNKS).to_pylist()
        numbers = {document: number for number, document in enumerate(_whole(self.chunks))}
        self.document = np.array([numbers[chunk["document"]] for chunk in self.chunks])  # (chunks,) number of each chunk's document

    def search(self, query: str, k: int = 5) -> list[Hit]:
        """The best `k` chunks, best first; fewer where fewer share a term with the question or are like it."""
        return self.search_all([query], k)[0]

    def search_all(self, queries: list[str], k: int = 5) -> list[list[Hit]]:
        """`search` for many questions, embedded together."""
        if not queries:
            return []
        vectors = self.embedder.embed(queries)
        return [self._best(query, vector, k) for query, vector in zip(queries, vectors, strict=True)]

    def _sparse(self, query: str) -> np.ndarray:
        """(chunks,) BM25 of the chunk, of its best sentence (terms that stand together say more) and of its document (what it is about)."""
        sentence, document = self.facts["sentence_weight"], self.facts["document_weight"]
        best = np.maximum.reduceat(self.sentences.scores(query), self.first)
        own = (1 - sentence) * self.bm25.scores(query) + sentence * best
        mixed = (1 - document) * own + document * self.documents.scores(query)[self.document]
        return mixed * self.bm25.coverage(query) ** COVERAGE

    def _best(self, query: str, vector: np.ndarray, k: int) -> list[Hit]:
        if not query.strip():
            return []
        weight = self.facts["dense_weight"][detect(query)]
        sparse, cosine = self._sparse(subject(query)), self.vectors @ vector
        mixed = (1 - weight) * z_scores(sparse) + weight * z_scores(cosine)
        # Only where the embedder is trusted with half of the score can it find a chunk on its own.
        mixed[~((sparse > 0) | ((weight >= 0.5) & (cosine >= LIKE)))] = -np.inf
        best = [i for i in np.argsort(-mixed, kind="stable")[:k] if np.isfinite(mixed[i])]
        return [
            Hit(**{name: self.chunks[i][name] for name in SHOWN}, score=float(mixed[i]), sparse=float(sparse[i]), dense=float(cosine[i]))
            for i in best
        ]


def open_index(folder: Path, embedder_path: Path, checksum: str, device: str = "cpu") -> Retriever:
    """The index in a folder.

    Raises:
        MigakiError: it was built with another embedder than the one at hand, or by another version of Migaki.
    """
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if facts.get("format", 1) != FORMAT:
        raise MigakiError(
            f"this index has format {facts.get('format', 1)}, and this version of Migaki reads format {FORMAT}: build it anew with `migaki index`"
        )
    if facts["embedder"] != checksum:
        raise MigakiError(
            f"this index was built with {facts['embedder_reference']!r}, another embedder than the one set (run.embedder): "
            "build it anew with `migaki index`, or set run.embedder back"
        )
    return Retriever(folder, Embedder(embedder_path, device))


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
