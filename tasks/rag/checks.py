"""Whether the parts of a stored index agree with each other: what `migaki index --verify` looks at beyond checksums."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.rag.postings import LEVELS, ChunkTerms, build_postings
from tasks.rag.retrieval import Retriever

SAMPLE = 64  # chunks that are embedded again
SAME = 0.99  # cosine of a chunk's vectors in two batches: onnx-int8 has one scale per batch, so a vector depends a little on its batch
ROW = ("chunk_id", "document_id", "ordinal", "heading", "text", "tokens", "lang")


def faults(folder: Path, retriever: Retriever) -> list[str]:
    """What is wrong with an index, in plain words; nothing where all is well."""
    chunks, documents = retriever.chunks, pq.read_table(folder / "tables" / "documents.parquet").to_pylist()
    own = pq.read_table(folder / "tables" / "chunks.parquet")
    problems = []
    if own.select(ROW).to_pylist() != chunks.select(ROW).to_pylist():
        problems.append("its rows for the catalog are not those of chunks.parquet")
    if (count := sum(row["chunks"] for row in documents)) != len(chunks):
        problems.append(f"its documents have {count} chunks, chunks.parquet has {len(chunks)}")
    if retriever.dense.size != len(chunks):
        return [*problems, f"FAISS holds {retriever.dense.size} vectors for {len(chunks)} chunks"]
    numbers = np.random.default_rng(0).choice(len(chunks), min(SAMPLE, len(chunks)), replace=False)
    again = retriever.embedder.embed(chunks["indexed"].take(numbers).to_pylist())
    likeness = (again * retriever.dense.vectors(numbers)).sum(axis=1)
    if (wrong := int((likeness < SAME).sum())) > 0:
        problems.append(f"{wrong} of {len(numbers)} vectors are not those of their chunks")
    return problems + _postings_at_fault(retriever)


def _postings_at_fault(retriever: Retriever) -> list[str]:
    chunks, kept = retriever.chunks, retriever.levels
    terms = ChunkTerms.of(list(zip(chunks["heading"].to_pylist(), chunks["text"].to_pylist(), strict=True)))
    made = build_postings(chunks["document"].to_pylist(), terms, kept["bm25"].k1, kept["bm25"].b)
    return [f"the BM25 postings of its {level} are not those of its texts" for level in LEVELS if not kept[level].same_as(made[level])]


def rows_at_fault(name: str, catalog: Iterable[dict[str, Any]], artifact: Iterable[dict[str, Any]]) -> str | None:
    """How the catalog's rows of a table differ from the artifact's; None where they are the same, in any order."""
    there, wanted = ({json.dumps(row, sort_keys=True, default=str): row for row in rows} for rows in (list(catalog), list(artifact)))
    if there.keys() == wanted.keys():
        return None
    missing, extra = len(wanted.keys() - there.keys()), len(there.keys() - wanted.keys())
    return f"the catalog's table {name} lacks {missing} rows of the index and has {extra} that are not its own"
