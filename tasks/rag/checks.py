"""Whether the parts of a stored index agree with each other: what `migaki index --verify` looks at beyond checksums."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.rag.postings import LEVELS, ChunkTerms, build_postings
from tasks.rag.retrieval import Retriever
from tasks.rag.sentence_vectors import chunk_vectors, quantized, sentence_texts

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
    meaning = retriever.meaning
    sizes = {"FAISS": (meaning.dense.size, len(chunks))}
    for lang, companion in meaning.companions.items():
        sizes[f"FAISS of {lang}"] = (companion.dense.size, len(companion.chunks))
    if meaning.sentences:
        counted = int(sum(retriever.facts["sentences"]))
        sizes["the file of sentences"] = (len(meaning.sentences.codes), counted)
        sizes["the file of their scales"] = (len(meaning.sentences.scales), counted)
    if missing := [f"{place} holds {there} vectors for {wanted}" for place, (there, wanted) in sizes.items() if there != wanted]:
        return [*problems, *missing]
    return problems + _vectors_at_fault(retriever) + _postings_at_fault(retriever)


def _vectors_at_fault(retriever: Retriever) -> list[str]:
    """Vectors of some chunks and of their sentences that are not those of their texts."""
    meaning, chunks = retriever.meaning, retriever.chunks
    numbers = np.sort(np.random.default_rng(0).choice(len(chunks), min(SAMPLE, len(chunks)), replace=False))
    found: list[tuple[str, np.ndarray, np.ndarray]] = []
    if meaning.sentences:
        rows, _ = meaning.sentences.rows(numbers)
        parts = [sentence_texts(row["text"], row["places"]) for row in chunks.take(numbers).select(["text", "places"]).to_pylist()]
        texts = [text for part in parts for text in part]
        again = meaning.embedder.embed(texts)
        found.append(("sentences", meaning.sentences.vectors(rows), again))
        headings = chunks["heading"].take(numbers).to_pylist()
        heading = quantized(meaning.embedder.embed(headings) * np.array([bool(text) for text in headings])[:, None])
        lengths, counts = np.array([len(text) for text in texts]), np.array([len(part) for part in parts])
        found.append(("chunks", meaning.dense.vectors(numbers), chunk_vectors(quantized(again), lengths, counts, heading)))
    else:
        found.append(("chunks", meaning.dense.vectors(numbers), meaning.embedder.embed(chunks["indexed"].take(numbers).to_pylist())))
    for lang, companion in meaning.companions.items():
        own = numbers[companion.row[numbers] >= 0]
        again = companion.embedder.embed(chunks["indexed"].take(own).to_pylist())
        found.append((f"chunks in {lang}", companion.dense.vectors(companion.row[own]), again))
    # Both are of length 1, so a product above 1 is as wrong as one far below.
    wrong = {what: (int((np.abs(1 - (kept * again).sum(axis=1)) > 1 - SAME).sum()), len(again)) for what, kept, again in found}
    return [f"{count} of {among} vectors of {what} are not those of their texts" for what, (count, among) in wrong.items() if count]


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
