"""The stage index: chunks, their vectors and their BM25 postings, with an account of every document.

An index is built from what is there now, so what was deleted is in no part of it; what did not change comes from caches in MIGAKI_HOME.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from storage.artifacts import ArtifactRef, content_key
from storage.home import Home
from storage.kinds import Index
from storage.segments import Segments
from tasks.data.records import content_id, load_documents, load_dropped, load_questions
from tasks.data.select import balanced
from tasks.documents.finding import find_documents, kept_documents
from tasks.documents.parsed import Parsed, Section, Unreadable
from tasks.documents.reading import read_all
from tasks.documents.rows import Document
from tasks.errors import MigakiError
from tasks.rag.chunking import chunk_documents
from tasks.rag.embedding import Embedder
from tasks.rag.figures import document_rank, retrieval_figures
from tasks.rag.fingerprint import TABLE, table_documents
from tasks.rag.incremental import Cut, Entry, cut_new, embed_new, kept_cuts, read_new, text_hash
from tasks.rag.index_files import Vectors, write_index
from tasks.rag.postings import ChunkTerms
from tasks.rag.retrieval import Retriever
from tasks.rag.sentence_vectors import unit
from tasks.rag.settings import IndexSettings
from tasks.rag.vectors import distinct_texts, identity, in_words, vectors_of
from tasks.stages.keys import code_hash
from tasks.stages.work import Work, require

Rows = list[dict[str, Any]]
CHUNK_COLUMNS = ("chunk_id", "document_id", "ordinal", "heading", "text", "tokens", "lang")
QUESTIONS = 500  # stored questions asked of a new index


@dataclass(frozen=True)
class Caches:
    """What earlier builds worked out: documents of files, chunks of documents, vectors of sentences and questions."""

    home: Home
    settings: IndexSettings
    embedder: str  # fingerprint

    @cached_property
    def files(self) -> Segments:
        return Segments(self.home.root / "cache" / "files", ("documents",))

    @cached_property
    def chunks(self) -> Segments:
        return Segments(self.home.root / "cache" / "chunks", ("facts", "sizes", "terms", "counts"))

    def vectors(self, embedder: Embedder, questions: bool = False) -> Segments:
        """Of passages, or of questions: the same text has another vector as the one than as the other."""
        kind, by = "questions" if questions else "vectors", sha256(embedder.fingerprint.encode()).hexdigest()[:16]
        return Segments(self.home.root / "cache" / kind / by, ("vector",))

    @cached_property
    def reading(self) -> str:
        """All that decides what is read of a file."""
        return content_key([self.settings.encoding, code_hash("tasks.documents.reading")])

    @cached_property
    def cutting(self) -> str:
        """All that decides how a document is cut."""
        return content_key([self.settings.chunk_tokens, self.settings.overlap_sentences, self.embedder, code_hash("tasks.rag.incremental")])


def index(settings: IndexSettings, inputs: dict[str, ArtifactRef], work: Work) -> Index:
    """Build the index of a dataset's documents, or of those that the settings name."""
    dataset = inputs.get("dataset") if settings.documents else require(inputs, "dataset", "prepare")
    folder = work.open(dataset) if dataset else None
    embedder = _embedder(settings, work)
    caches = Caches(work.home, settings, embedder.fingerprint)
    documents, chunks, terms = work.step("read_and_cut", partial(_chunks, folder, settings, embedder, caches, work))
    if not chunks:
        first = documents[:3] if work.names else []
        skipped = f"{len(documents)} were skipped" if documents else "the dataset has none"
        reasons = "; ".join(f"{row['path']}: {row['reason']}" for row in first) or skipped
        raise MigakiError(f"no document could be indexed ({reasons}): give documents with --documents")
    companions = _companions(settings, work)
    vectors = work.step("embed_chunks", partial(_vectors, chunks, embedder, companions, caches, settings, work))
    about = write_index(work.path, chunks, vectors, settings, identity(embedder), terms)
    found = about | work.step("ask_questions", partial(_smoke_check, folder, chunks, embedder, companions, caches, settings, work))
    record = replace(
        _record(documents, chunks, embedder, found, work), sentences=len(vectors.sentences), embedders=in_words(embedder, companions)
    )
    work.log(f"index: {record.embedders}")
    for cache in (
        caches.files,
        caches.chunks,
        *(caches.vectors(own, kind) for own in (embedder, *companions.values()) for kind in (False, True)),
    ):
        cache.merge()
    return record


def _embedder(settings: IndexSettings, work: Work) -> Embedder:
    """The index's own embedder.

    Raises:
        MigakiError: chunks may be longer than it reads.
    """
    embedder = Embedder(
        work.embedder.path,
        work.device,
        settings.embedder_backend,
        work.embedder.checksum,
        work.home.exports,
        reference=work.embedder.reference,
        query_prefix=settings.query_prefix,
        passage_prefix=settings.passage_prefix,
    )
    if settings.chunk_tokens > embedder.room:
        raise MigakiError(
            f"index.chunk_tokens = {settings.chunk_tokens}, but {work.embedder.reference} reads {embedder.room} tokens at most "
            f"(behind the prefix {embedder.prompts.passage!r}): what is longer would be lost silently"
        )
    return embedder


def _companions(settings: IndexSettings, work: Work) -> dict[str, Embedder]:
    """By language, the embedders that read it better than the index's own."""
    return {
        lang: Embedder(model.path, work.device, settings.embedder_backend, model.checksum, work.home.exports, reference=model.reference)
        for lang, model in work.companions.items()
        if model.checksum != work.embedder.checksum
    }


def _vectors(
    chunks: Rows, embedder: Embedder, companions: dict[str, Embedder], caches: Caches, settings: IndexSettings, work: Work
) -> Vectors:
    """All vectors of an index; what was embedded before comes from the caches."""
    with work.progress("index: embed", distinct_texts(chunks, companions)) as bar:

        def embed(own: Embedder, texts: list[str]) -> np.ndarray:
            new = partial(own.embed, batch_tokens=settings.batch_tokens, on_batch=bar.advance)
            return embed_new(texts, own.dimension, caches.vectors(own), new, bar.advance)

        return vectors_of(chunks, embedder, companions, embed)


def _smoke_check(
    folder: Path | None,
    chunks: Rows,
    embedder: Embedder,
    companions: dict[str, Embedder],
    caches: Caches,
    settings: IndexSettings,
    work: Work,
) -> dict[str, float]:
    """How often stored questions find their documents: what decides whether this index may serve. Those about documents that are not
    in it say nothing of it."""
    known = [question for question in load_questions(folder) if question.document] if folder else []
    own = {row["document"] for row in chunks}
    about = [question for question in known if question.document in own]
    if len(about) < len(known):
        work.log(f"index: {len(about)} of {len(known)} stored questions are about its documents; the others are not asked of it")
    if not about:
        return {}
    asked, _ = balanced(about, QUESTIONS)

    def embed(own: Embedder, texts: list[str]) -> np.ndarray:
        new = partial(own.embed_queries, batch_tokens=settings.batch_tokens)
        return unit(embed_new(texts, own.dimension, caches.vectors(own, questions=True), new))

    texts, retriever = [question.question for question in asked], Retriever(work.path, embedder, companions)
    hits = retriever.search_all(texts, 20, retriever.groups, asked=retriever.meaning.ask(texts, embed))
    return retrieval_figures([document_rank(found, question.document) for question, found in zip(asked, hits, strict=True)])


def _chunks(folder: Path | None, settings: IndexSettings, embedder: Embedder, caches: Caches, work: Work) -> tuple[Rows, Rows, ChunkTerms]:
    """(rows for `documents`, chunks, their terms) of all files of the dataset and of the texts that came with its questions."""
    known: dict[str, Cut] = {}

    def recall(texts: set[str]) -> set[str]:
        known.update(kept_cuts(texts - known.keys(), caches.chunks, caches.cutting))
        return texts & known.keys()

    def cut(documents: list[Parsed]) -> list[Cut]:
        chunked = chunk_documents(documents, settings.chunk_tokens, settings.overlap_sentences, embedder.count_all)
        return [Cut.of(chunks, embedder.count_all) for chunks in chunked]

    entries, sizes, parsed = _read(folder, settings, caches, recall, work)
    texts = {entry.text for entry in entries if entry.text}
    new = {text: parsed[text] for text in texts - recall(texts)}
    with work.progress("index: cut", len(texts), len(texts) - len(new)) as bar:
        known |= cut_new(new, caches.chunks, caches.cutting, cut, bar.advance)
    documents = _passed_over(folder) if folder and not settings.documents else []
    return _rows(entries, sizes, known, documents)


def _read(
    folder: Path | None, settings: IndexSettings, caches: Caches, recall: Callable[[set[str]], set[str]], work: Work
) -> tuple[list[Entry], dict[str, int], dict[str, Parsed]]:
    """All documents in order, the bytes of each file, and what the documents hold that were not known, by the hash of their text."""
    named = settings.documents
    files = find_documents([spec for spec in named if not spec.startswith(TABLE)], settings.follow_links)
    if folder and not named:
        files = kept_documents(folder / "documents")

    def read(new: list[Any]) -> Iterator[tuple[str, Parsed | Unreadable]]:
        with work.progress("index: read", len(files), len(files) - len(new)) as bar:
            for name, found in read_all(
                new,
                settings.file_seconds,
                settings.encoding or None,
                settings.readers,
                unpacked_bytes=settings.max_unpacked_mb * 10**6,
            ):
                bar.advance()
                yield name, found

    found, parsed = read_new(files, caches.reading, caches.files, recall, read)
    entries = [entry for file in files for entry in found[file.name]]
    contexts = load_documents(folder) if folder else []
    given: list[Document] = [(text.path, Parsed(text.title, [Section("", [text.text])])) for text in contexts]
    given += [row for spec in named if spec.startswith(TABLE) for row in table_documents(spec, work.home)]
    for name, document in given:
        entries.append(Entry.of(name, text_hash(document) if isinstance(document, Parsed) else "", document))
        if isinstance(document, Parsed):
            parsed[entries[-1].text] = document
    sizes = {}
    for file in files:
        with suppress(OSError):  # gone since it was listed, or a link that leads nowhere
            sizes[file.name] = file.path.stat().st_size
    return entries, sizes, parsed


def _rows(entries: list[Entry], sizes: dict[str, int], cuts: dict[str, Cut], documents: Rows) -> tuple[Rows, Rows, ChunkTerms]:
    """(rows for `documents`, chunks, their terms) of documents whose chunks are known."""
    chunks: Rows = []
    taken = [cuts[entry.text] for entry in entries if entry.text]
    for entry in entries:
        document_id = content_id(entry.name, entry.sha256)
        row = {
            "document_id": document_id,
            "path": entry.name,
            "sha256": entry.sha256 or None,
            "bytes": sizes.get(entry.name),
        }
        if not entry.text:
            documents.append(row | {"status": "skipped", "reason": entry.reason, "chunks": 0})
            continue
        cut, title = cuts[entry.text], entry.title or PurePosixPath(entry.name).stem
        allowed = list(entry.allowed)
        documents.append(row | {"title": title, "lang": cut.lang, "chunks": len(cut.rows), "status": "indexed", "allowed": allowed})
        shared = {"document_id": document_id, "document": entry.name, "title": title, "allowed": entry.allowed, "meta": entry.meta}
        for ordinal, chunk in enumerate(cut.rows):
            chunk_id = content_id(document_id, chunk["heading"], chunk["text"], str(ordinal))
            chunks.append({"chunk_id": chunk_id, "ordinal": ordinal, **shared, **chunk})
    return documents, chunks, ChunkTerms.joined([cut.terms for cut in taken])


def _passed_over(folder: Path) -> Rows:
    """Files among the documents that prepare did not take along, because of their kind."""
    dropped = load_dropped(folder, "documents")
    return [
        {"document_id": content_id(row["source"]), "path": row["source"], "status": "skipped", "reason": row["detail"], "chunks": 0}
        for row in dropped
    ]


def _record(documents: Rows, chunks: Rows, embedder: Embedder, found: dict[str, Any], work: Work) -> Index:
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
    named = skipped[:5] if work.names else []
    for row in named:
        work.log(f"index: {row['path']} was skipped: {row['reason']}")
    if len(skipped) > len(named):
        work.log(f"index: {len(skipped) - len(named)}{' more' if named else ''} were skipped; the table documents says why")
    for name, value in {"chunks": len(chunks), "skipped": len(skipped), **found, **embedder.export_facts}.items():
        if not isinstance(value, str):
            work.metric(f"index.{name}", value)
    work.headline("documents, chunks", indexed, len(chunks))
    return Index(
        documents=indexed,
        chunks=len(chunks),
        skipped=len(skipped),
        dense_type=found["dense_type"],
        dense_recall=found["dense_recall"],
        dense_probes=found["dense_probes"],
        hit_at_1=found.get("hit@1"),
        hit_at_5=found.get("hit@5"),
        mrr_at_10=found.get("mrr@10"),
    )
