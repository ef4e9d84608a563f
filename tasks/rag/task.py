"""The stage index: chunks, their vectors and their BM25 postings, with an account of every document."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage import ArtifactRef
from tasks.errors import MigakiError
from tasks.rag.settings import IndexSettings
from tasks.stage import Work, require, stage

if TYPE_CHECKING:
    from tasks.rag.documents import Parsed
    from tasks.rag.embedding import Embedder

Rows = list[dict[str, Any]]
CHUNK_COLUMNS = ("chunk_id", "document_id", "ordinal", "heading", "text", "tokens", "lang")


def named_documents(settings: IndexSettings) -> list[Any]:
    """What the documents named in the settings hold, for the key."""
    from tasks.data.sources import fingerprint

    return fingerprint(settings.documents, "documents")


@stage("index", kind="index", settings=IndexSettings, uses=("embedder",), fingerprint=named_documents)
def index(settings: IndexSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Build the index of a dataset's documents."""
    from tasks.rag.embedding import Embedder
    from tasks.rag.retrieval import write_index

    folder = work.open(require(inputs, "dataset", "prepare"))
    embedder = Embedder(work.embedder.path, work.device)
    if settings.chunk_tokens > embedder.limit - 2:
        raise MigakiError(
            f"index.chunk_tokens = {settings.chunk_tokens}, but {work.embedder.reference} reads {embedder.limit - 2} tokens at most: what is longer would be lost silently"
        )
    documents, chunks = _chunks(folder, settings, embedder, work)
    if not chunks:
        reasons = "; ".join(f"{row['path']}: {row['reason']}" for row in documents[:3]) or "the dataset has none"
        raise MigakiError(f"no document could be indexed ({reasons}): give documents with --documents")
    with work.progress("index: embed", len(chunks)) as bar:
        vectors = embedder.embed([chunk["indexed"] for chunk in chunks], settings.batch_tokens, bar.advance)
    write_index(work.path, chunks, vectors, settings, work.embedder.checksum, work.embedder.reference)
    _record(documents, chunks, embedder, _smoke_check(folder, embedder, work), work)


def _smoke_check(folder: Path, embedder: "Embedder", work: Work) -> dict[str, float]:
    """How often the stored questions find their documents: what decides whether this index may serve."""
    from tasks.data.records import load_questions
    from tasks.rag.retrieval import Retriever, document_rank, retrieval_figures

    questions = [question for question in load_questions(folder) if question.document]
    if not questions:
        return {}
    hits = Retriever(work.path, embedder).search_all([question.question for question in questions], 20)
    return retrieval_figures([document_rank(found, question.document) for question, found in zip(questions, hits, strict=True)])


def _chunks(folder: Path, settings: IndexSettings, embedder: "Embedder", work: Work) -> tuple[Rows, Rows]:
    """(rows for `documents`, chunks) of all files of the dataset and of the texts that came with its questions."""
    from tasks.data.language import detect
    from tasks.data.records import content_id
    from tasks.rag.chunking import chunk_document
    from tasks.rag.documents import Unreadable

    sources = _sources(folder, settings.documents)
    documents, chunks = ([] if settings.documents else _passed_over(folder)), []
    with work.progress("index: read", len(sources)) as bar:
        for name, digest, size, read in sources:
            bar.advance()
            row = {"document_id": content_id(name, digest), "path": name, "sha256": digest, "bytes": size}
            try:
                parsed = read()
            except Unreadable as reason:
                documents.append(row | {"status": "skipped", "reason": str(reason), "chunks": 0})
                continue
            own = chunk_document(parsed, settings.chunk_tokens, settings.overlap_sentences, embedder.count_tokens)
            documents.append(
                row
                | {"title": parsed.title, "lang": detect(" ".join(chunk.text for chunk in own)), "chunks": len(own), "status": "indexed"}
            )
            chunks += [
                {
                    "chunk_id": content_id(row["document_id"], chunk.heading, chunk.text, str(chunk.ordinal)),
                    "document_id": row["document_id"],
                    "document": name,
                    "title": parsed.title,
                    "ordinal": chunk.ordinal,
                    "heading": chunk.heading,
                    "text": chunk.text,
                    "indexed": chunk.indexed,
                    "lang": chunk.lang,
                    "tokens": embedder.count_tokens(chunk.indexed),
                }
                for chunk in own
            ]
    return documents, chunks


def _sources(folder: Path, named: list[str]) -> list[tuple[str, str, int, Callable[[], "Parsed"]]]:
    """(name, SHA-256, bytes, how to read it) of the documents named, or else the dataset's, and of the texts that came with its questions."""
    from tasks.data.records import load_documents
    from tasks.data.sources import document_files, file_digest
    from tasks.rag.documents import Parsed, Section, read_document

    own = folder / "documents"
    files = document_files(named or ([str(own)] if own.is_dir() else []))
    found = [(name, file_digest(path), path.stat().st_size, lambda path=path: read_document(path)) for name, path in files]
    for text in load_documents(folder):
        data = text.text.encode()
        found.append((text.path, sha256(data).hexdigest(), len(data), lambda text=text: Parsed(text.title, [Section("", [text.text])])))
    return found


def _passed_over(folder: Path) -> Rows:
    """Files among the documents that prepare did not take along, because of their kind."""
    from tasks.data.records import content_id, load_dropped

    dropped = load_dropped(folder, "documents")
    return [
        {"document_id": content_id(row["source"]), "path": row["source"], "status": "skipped", "reason": row["detail"], "chunks": 0}
        for row in dropped
    ]


def _record(documents: Rows, chunks: Rows, embedder: "Embedder", found: dict[str, float], work: Work) -> None:
    """Rows, figures and headline of a finished index."""
    skipped = [row for row in documents if row["status"] == "skipped"]
    indexed = len(documents) - len(skipped)
    work.table("documents", documents)
    work.table("chunks", [{name: chunk[name] for name in CHUNK_COLUMNS} for chunk in chunks])
    work.table(
        "indexes",
        [
            {
                "stage": "candidate",
                "embedder": work.embedder.reference,
                "dimension": embedder.dimension,
                "documents": indexed,
                "chunks": len(chunks),
                "skipped": len(skipped),
                "hit_at_5": found.get("hit@5"),
            }
        ],
    )
    for row in skipped[:5]:
        work.log(f"index: {row['path']} was skipped: {row['reason']}")
    if len(skipped) > 5:
        work.log(f"index: {len(skipped) - 5} more were skipped; the table documents says why")
    for name, value in {"chunks": len(chunks), "skipped": len(skipped), **found}.items():
        work.metric(f"index.{name}", value)
    work.meta |= {"documents": indexed, "chunks": len(chunks), "skipped": len(skipped)} | found
    work.headline("documents, chunks", indexed, len(chunks))
