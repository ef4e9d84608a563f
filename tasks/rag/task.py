"""The stage index: chunks, their vectors and their BM25 postings, with an account of every document."""

import json
from pathlib import Path
from typing import Any

from storage import ArtifactRef
from tasks.errors import MigakiError
from tasks.rag.settings import IndexSettings
from tasks.stage import Work, require, stage


@stage("index", kind="index", settings=IndexSettings, uses=("embedder",))
def index(settings: IndexSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Build the index of a dataset's documents."""
    from tasks.rag.embedding import Embedder

    folder = work.open(require(inputs, "dataset", "prepare"))
    embedder = Embedder(work.embedder.path, work.device)
    if settings.chunk_tokens > embedder.limit - 2:
        raise MigakiError(f"index.chunk_tokens = {settings.chunk_tokens}, but {work.embedder.reference} reads {embedder.limit - 2} tokens at most: what is longer would be lost silently")
    documents, chunks = _chunks(folder, settings, embedder, work)
    if not chunks:
        reasons = "; ".join(f"{row['path']}: {row['reason']}" for row in documents[:3]) or "the dataset has none"
        raise MigakiError(f"no document could be indexed ({reasons}): give documents with --documents")
    texts = [chunk["indexed"] for chunk in chunks]
    with work.progress("index: embed", len(texts)) as bar:
        vectors = embedder.embed(texts, settings.batch_tokens, bar.advance)
    _write(chunks, vectors, settings, work)
    found = _smoke_check(folder, embedder, work)
    skipped = [row for row in documents if row["status"] == "skipped"]
    work.table("documents", documents)
    work.table("chunks", [{name: chunk[name] for name in ("chunk_id", "document_id", "ordinal", "heading", "text", "tokens", "lang")} for chunk in chunks])
    work.table("indexes", [{"stage": "candidate", "embedder": work.embedder.reference, "dimension": embedder.dimension, "documents": len(documents) - len(skipped),
                            "chunks": len(chunks), "skipped": len(skipped), "hit_at_5": found.get("hit@5")}])
    for row in skipped[:5]:
        work.log(f"index: {row['path']} was skipped: {row['reason']}")
    work.metric("index.chunks", len(chunks))
    work.metric("index.skipped", len(skipped))
    work.meta |= {"documents": len(documents) - len(skipped), "chunks": len(chunks), "skipped": len(skipped)} | found
    work.headline("documents, chunks", len(documents) - len(skipped), len(chunks))


def _smoke_check(folder: Path, embedder: Any, work: Work) -> dict[str, float]:
    """How often the stored questions find their documents: what decides whether this index may serve."""
    from tasks.data.records import load_questions
    from tasks.rag.retrieval import Retriever, document_rank, retrieval_figures

    questions = [question for question in load_questions(folder) if question.document]
    if not questions:
        return {}
    retriever = Retriever(work.path, embedder)
    found = retrieval_figures([document_rank(retriever.search(question.question, 20), question.document) for question in questions])
    for name, value in found.items():
        work.metric(f"index.{name}", value)
    return found


def _chunks(folder: Path, settings: IndexSettings, embedder: Any, work: Work) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows for `documents`, chunks) of all files of the dataset and of the texts that came with its questions. Identical chunks are kept once per document."""
    from tasks.data.language import detect
    from tasks.data.records import content_id, load_documents
    from tasks.data.sources import file_digest
    from tasks.rag.chunking import chunk_document
    from tasks.rag.documents import Parsed, Section, Unreadable, read_document

    root = folder / "documents"
    sources: list[tuple[str, Any]] = [(path.relative_to(root).as_posix(), path) for path in sorted(root.rglob("*")) if path.is_file()]
    sources += [(document.path, document) for document in load_documents(folder)]
    documents, chunks = [], []
    with work.progress("index: read", len(sources)) as bar:
        for name, source in sources:
            bar.advance()
            is_file = isinstance(source, Path)
            digest = file_digest(source) if is_file else source.id
            row = {"document_id": content_id(name, digest), "path": name, "sha256": digest, "bytes": source.stat().st_size if is_file else len(source.text.encode())}
            try:
                parsed = read_document(source) if is_file else Parsed(source.title, [Section("", [source.text])])
            except Unreadable as reason:
                documents.append(row | {"status": "skipped", "reason": str(reason), "chunks": 0})
                continue
            own = chunk_document(parsed, settings.chunk_tokens, settings.overlap_sentences, embedder.count_tokens)
            documents.append(row | {"title": parsed.title, "lang": detect(" ".join(chunk.text for chunk in own)), "chunks": len(own), "status": "indexed"})
            chunks += [{"chunk_id": content_id(row["document_id"], chunk.heading, chunk.text, str(chunk.ordinal)), "document_id": row["document_id"], "document": name, "title": parsed.title,
                        "ordinal": chunk.ordinal, "heading": chunk.heading, "text": chunk.text, "indexed": chunk.indexed, "lang": chunk.lang,
                        "tokens": embedder.count_tokens(chunk.indexed)} for chunk in own]
    return documents, chunks


def _write(chunks: list[dict[str, Any]], vectors: Any, settings: IndexSettings, work: Work) -> None:
    import faiss
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.rag.bm25 import BM25
    from tasks.rag.retrieval import FACTS

    dense = faiss.IndexFlatIP(vectors.shape[1])
    dense.add(vectors)
    faiss.write_index(dense, str(work.path / "dense.faiss"))
    BM25.build([chunk["indexed"] for chunk in chunks], settings.k1, settings.b).save(work.path)
    pq.write_table(pa.Table.from_pylist(chunks), work.path / "chunks.parquet")
    facts = {"embedder": work.embedder.checksum, "embedder_reference": work.embedder.reference, "dense_weight": {"en": settings.dense_weight_en, "ja": settings.dense_weight_ja}}
    (work.path / FACTS).write_text(json.dumps(facts), encoding="utf-8")
