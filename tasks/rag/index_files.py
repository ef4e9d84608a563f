"""The files of an index: chunks, their vectors and those of their sentences, the postings of the three levels of BM25, and what is to be known for
searching them. Beside the embedder's own vectors there may be another's for the chunks of one language, which it reads better: its companion there."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import MigakiError
from tasks.rag.dense import build_dense
from tasks.rag.embedders import Prompts
from tasks.rag.postings import ChunkTerms, build_postings
from tasks.rag.sentence_vectors import write_sentences
from tasks.rag.settings import IndexSettings

FACTS, VECTORS, CHUNKS = "index.json", "dense.faiss", "chunks.parquet"
FORMAT = 4  # of these files
READ = (3, 4)  # 3 had the vectors of whole chunks alone; it serves until the index is made anew


@dataclass(frozen=True)
class EmbedderIdentity:
    """Which embedder made the vectors: the checksum of its files, the reference that named it, `Embedder.fingerprint`, and what else it takes
    to open it again: its backend, and the prefixes of questions and passages."""

    checksum: str
    reference: str
    fingerprint: str = ""
    backend: str = "torch"
    prompts: Prompts | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """As an index keeps it."""
        return {
            "embedder": self.checksum,
            "embedder_reference": self.reference,
            "embedder_backend": self.backend,
            "fingerprint": self.fingerprint,
            "prompts": self.prompts and asdict(self.prompts),
        }


@dataclass(frozen=True)
class Vectors:
    """What an embedder made of the texts of an index.

    Attributes:
        chunks: (chunks, dimension) float32 unit vectors.
        sentences: (sentences, dimension) int8 codes of the sentences of all chunks, one chunk after the other.
        companions: by language, the embedder that reads it better, and (chunks of that language, its dimension) unit vectors, in the chunks' order.
    """

    chunks: np.ndarray
    sentences: np.ndarray
    companions: Mapping[str, tuple[EmbedderIdentity, np.ndarray]] = field(default_factory=dict)


def write_index(
    folder: Path,
    chunks: list[dict[str, Any]],
    vectors: Vectors,
    settings: IndexSettings,
    embedder: EmbedderIdentity,
    terms: ChunkTerms | None = None,
) -> dict[str, Any]:
    """Write what `open_index` reads; returns what there is to know of the dense side.

    Args:
        chunks: rows with what a hit shows of a chunk, `indexed`, and `allowed` and `meta` where there are any.
        vectors: in the same order.
        embedder: the one that made them.
        terms: of the chunks, where they are counted already.

    Raises:
        MigakiError: the parts of the index are not of one size.
    """
    dense, about = build_dense(vectors.chunks, settings.flat_up_to)
    faiss.write_index(dense, str(folder / VECTORS))
    write_sentences(folder, vectors.sentences)
    for lang, (_, of_language) in vectors.companions.items():
        faiss.write_index(build_dense(of_language, settings.flat_up_to)[0], str(folder / companion_file(lang)))
    terms = terms or ChunkTerms.of([(chunk["heading"], chunk["text"]) for chunk in chunks])
    levels = build_postings([chunk["document"] for chunk in chunks], terms, settings.k1, settings.b)
    for name, level in levels.items():
        level.save(folder, name)
    pq.write_table(_table(chunks), folder / CHUNKS)
    facts = {
        "format": FORMAT,
        **embedder.facts,
        "companions": {lang: identity.facts for lang, (identity, _) in vectors.companions.items()},
        "dense_weight": settings.dense_weights(embedder.reference),
        "sentence_weight": settings.sentence_weight,
        "document_weight": settings.document_weight,
        "sentences": (terms.parts - 1).tolist(),
    }
    (folder / FACTS).write_text(json.dumps(facts | about), encoding="utf-8")
    counted = int((terms.parts - 1).sum())
    if not (len(chunks) == dense.ntotal == levels["bm25"].size == len(terms.parts) and counted == len(vectors.sentences)):
        raise MigakiError(
            f"the index is incomplete: {len(chunks)} chunks, {dense.ntotal} vectors, postings of {levels['bm25'].size}, "
            f"{counted} sentences and {len(vectors.sentences)} vectors of sentences; nothing of it was kept"
        )
    return about


def companion_file(lang: str) -> str:
    """The vectors of the chunks of a language by its own embedder."""
    return f"dense.{lang}.faiss"


def _table(chunks: list[dict[str, Any]]) -> pa.Table:
    """Chunks as they are stored: who may see each (nobody named: everyone), and what its document says about itself, as JSON."""
    names = [
        name for name in dict.fromkeys(name for chunk in chunks for name in chunk) if name not in ("allowed", "meta", "page", "places")
    ]
    columns = {name: pa.array([chunk.get(name) for chunk in chunks]) for name in names}
    columns["page"] = pa.array([chunk.get("page") for chunk in chunks], pa.int32())
    columns["places"] = pa.array([chunk["places"] for chunk in chunks], pa.list_(pa.int32()))
    labels = {label: sorted(label) for label in {tuple(chunk.get("allowed") or ()) for chunk in chunks}}
    columns["allowed"] = pa.array([labels[tuple(chunk.get("allowed") or ())] for chunk in chunks], pa.list_(pa.string()))
    told = [json.dumps(chunk["meta"], ensure_ascii=False, sort_keys=True) if chunk.get("meta") else "{}" for chunk in chunks]
    columns["meta"] = pa.array(told)
    return pa.table(columns)


def read_facts(folder: Path) -> dict[str, Any]:
    """What `write_index` noted of an index.

    Raises:
        MigakiError: it is of another version of Migaki.
    """
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if facts.get("format", 1) not in READ:
        raise MigakiError(
            f"this index has format {facts.get('format', 1)}, and this version of Migaki reads {' and '.join(map(str, READ))}: "
            "build it anew with `migaki index`"
        )
    return facts
