"""Only what is new is worked out: files are read, documents cut and sentences embedded once, and found again by what they hold.

A file is known by its bytes, a document by its text, a sentence by itself, each together with whatever else decides the result
(settings, code, embedder). Names and places are in none of these, so moving and renaming cost nothing. The caches are anything with
`get` and `put`, such as `storage.segments.Segments`; what they have lost is worked out again.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np

from tasks.documents.finding import DocumentFile
from tasks.documents.parsed import Parsed, Unreadable
from tasks.errors import MigakiError
from tasks.rag.bm25 import TermCounts
from tasks.rag.chunking import Chunk, CountAll
from tasks.rag.postings import ChunkTerms
from tasks.rag.sentence_vectors import quantized
from tasks.text.detection import detect
from tasks.text.sentences import sentence_places

AT_ONCE = 4000  # documents or texts between two writes to the cache, which is what a killed run loses at most
Value = tuple[bytes, ...]
Document = tuple[str, Parsed | Unreadable]


class Cache(Protocol):
    """Values by key."""

    def get(self, keys: Collection[bytes]) -> dict[bytes, Value]: ...

    def put(self, values: Mapping[bytes, Value]) -> None: ...


@dataclass(frozen=True)
class Entry:
    """A document under its name, or the reason why there is none. `text` is the hash of its text, by which its chunks are found."""

    name: str
    sha256: str
    reason: str = ""
    text: str = ""
    title: str = ""
    allowed: tuple[str, ...] = ()
    meta: Mapping[str, str] | None = None

    @classmethod
    def of(cls, name: str, digest: str, document: Parsed | Unreadable) -> "Entry":
        if isinstance(document, Unreadable):
            return cls(name, digest, reason=str(document))
        return cls(name, digest, "", text_hash(document), document.title, tuple(document.allowed), document.meta)


@dataclass(frozen=True)
class Cut:
    """The chunks of a document, as rows of heading, text, indexed, lang, page, tokens and the places of the sentences (where each begins and
    ends in the text, one after the other), and their counted terms."""

    lang: str
    rows: list[dict[str, Any]]
    terms: ChunkTerms

    @classmethod
    def of(cls, chunks: list[Chunk], count_all: CountAll) -> "Cut":
        rows = [{name: getattr(chunk, name) for name in ("heading", "text", "indexed", "lang", "page")} for chunk in chunks]
        counted = count_all([chunk.indexed for chunk in chunks])
        rows = [row | {"tokens": tokens, "places": _places(row["text"])} for row, tokens in zip(rows, counted, strict=True)]
        return cls(detect(" ".join(chunk.text for chunk in chunks)), rows, ChunkTerms.of([(chunk.heading, chunk.text) for chunk in chunks]))

    def packed(self) -> Value:
        counts = self.terms.counts
        facts = json.dumps({"lang": self.lang, "rows": self.rows, "parts": self.terms.parts.tolist()}, ensure_ascii=False)
        return facts.encode(), counts.sizes.tobytes(), counts.terms.tobytes(), counts.counts.tobytes()

    @classmethod
    def unpacked(cls, value: Value) -> "Cut":
        facts = json.loads(value[0])
        counts = TermCounts(*(np.frombuffer(data, kind) for data, kind in zip(value[1:], (np.int32, np.uint64, np.int32), strict=True)))
        return cls(facts["lang"], facts["rows"], ChunkTerms(np.array(facts["parts"], np.int64), counts))


def _places(text: str) -> list[int]:
    """As many sentences as `postings.counted_parts` finds: one at least."""
    return [place for ends in sentence_places(text) for place in ends] or [0, len(text)]


def text_hash(document: Parsed) -> str:
    """What stands for all that decides a document's chunks."""
    parts = [document.title, *([section.heading, section.page, section.paragraphs] for section in document.sections)]
    return sha256(json.dumps(parts, ensure_ascii=False).encode(errors="replace")).hexdigest()


def read_new(
    files: Sequence[DocumentFile],
    recipe: str,
    cache: Cache,
    has_chunks: Callable[[set[str]], set[str]],
    read: Callable[[list[DocumentFile]], Iterator[Document]],
) -> tuple[dict[str, list[Entry]], dict[str, Parsed]]:
    """The documents of all files, by the name of the file, and of those that had to be read what they hold, by the hash of their text.

    Args:
        recipe: all that decides how a file is read.
        has_chunks: of hashes of texts, those whose chunks are kept; a file with another one is read again.
        read: reads files, in order.

    Raises:
        MigakiError: the reader gave what belongs to none of the files.
    """
    digests = {file.name: file.digest() for file in files}
    keys = {file.name: _hash(digests[file.name], PurePosixPath(file.name).suffix.lower(), recipe) for file in files}
    kept = cache.get(keys.values())
    by_file = {file.name: _renamed(kept[keys[file.name]], file.name) for file in files if keys[file.name] in kept}
    wanted = {entry.text for entries in by_file.values() for entry in entries if entry.text}
    lost = wanted - has_chunks(wanted)
    new = [file for file in files if file.name not in by_file or any(entry.text in lost for entry in by_file[file.name])]
    parsed: dict[str, Parsed] = {}
    fresh: dict[bytes, Value] = {}
    for file, documents in _by_file(new, read(new)):
        documents = [(name, _unnamed(document, file)) for name, document in documents]
        rows = any(name != file.name for name, _ in documents)
        entries = [
            Entry.of(name, _digest(document, digests[file.name]) if rows else digests[file.name], document) for name, document in documents
        ]
        by_file[file.name] = entries or [Entry(file.name, digests[file.name], "there is nothing in it")]
        parsed |= {entry.text: document for entry, (_, document) in zip(entries, documents, strict=True) if isinstance(document, Parsed)}
        # A file that was written to meanwhile is not kept under its old digest.
        if any(entry.text for entry in entries) and file.digest() == digests[file.name]:
            fresh[keys[file.name]] = _kept(entries, file.name)
    cache.put(fresh)
    return by_file, parsed


def cut_new(
    documents: Mapping[str, Parsed], cache: Cache, recipe: str, cut: Callable[[list[Parsed]], list[Cut]], on_done: Callable[[int], object]
) -> dict[str, Cut]:
    """The chunks of documents, by the hash of their text; kept as they come."""
    cut_documents: dict[str, Cut] = {}
    for part in _parts(list(documents)):
        cuts = dict(zip(part, cut([documents[text] for text in part]), strict=True))
        cache.put({_hash(text, recipe): own.packed() for text, own in cuts.items()})
        cut_documents |= cuts
        on_done(len(part))
    return cut_documents


def kept_cuts(texts: Iterable[str], cache: Cache, recipe: str) -> dict[str, Cut]:
    """The chunks that are kept, by the hash of their document's text."""
    keys = {_hash(text, recipe): text for text in texts}
    return {keys[key]: Cut.unpacked(value) for key, value in cache.get(keys).items()}


def embed_new(
    texts: Sequence[str],
    dimension: int,
    cache: Cache,
    embed: Callable[[list[str]], np.ndarray],
    on_known: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """(texts, dimension) int8 codes of their unit vectors (`tasks.rag.sentence_vectors`). Equal texts are embedded once, and those whose codes are
    kept not at all; `on_known` hears of how many distinct texts they are."""
    keys = [_hash(text) for text in texts]
    missing = dict(zip(keys, texts, strict=True))
    known = {key: value for key, (value,) in cache.get(missing).items() if len(value) == dimension}
    on_known(len(known))
    for key in known:
        del missing[key]
    for part in _parts(sorted(missing, key=lambda key: -len(missing[key]))):  # like lengths together: less padding
        codes = quantized(embed([missing[key] for key in part]))
        new = {key: row.tobytes() for key, row in zip(part, codes, strict=True)}
        cache.put({key: (value,) for key, value in new.items()})
        known |= new
    return np.frombuffer(b"".join(known[key] for key in keys), np.int8).reshape(len(texts), dimension)


def _by_file(files: list[DocumentFile], documents: Iterator[Document]) -> Iterator[tuple[DocumentFile, list[Document]]]:
    """Each file with its documents, which come in the files' order: under its name, or `name#row`.

    Raises:
        MigakiError: there are documents of no file.
    """
    waiting = list(documents)
    at = 0
    for file in files:
        start = at
        while at < len(waiting) and (waiting[at][0] == file.name or waiting[at][0].startswith(f"{file.name}#")):
            at += 1
        yield file, waiting[start:at]
    if at < len(waiting):
        raise MigakiError(f"{waiting[at][0]!r} was read, and is of none of the {len(files)} files given: the index would be incomplete")


def _unnamed(document: Parsed | Unreadable, file: DocumentFile) -> Parsed | Unreadable:
    """Without a title that is only the file's name: what is indexed must not change when the file is renamed."""
    return replace(document, title="") if isinstance(document, Parsed) and document.title == file.path.stem else document


def _digest(document: Parsed | Unreadable, file: str) -> str:
    return file if isinstance(document, Unreadable) else text_hash(document)


def _kept(entries: list[Entry], name: str) -> Value:
    """Entries as they are cached: their names without the file's."""
    return (json.dumps([asdict(replace(entry, name=entry.name.removeprefix(name))) for entry in entries], ensure_ascii=False).encode(),)


def _renamed(value: Value, name: str) -> list[Entry]:
    """Cached entries under the name that their file has now."""
    return [Entry(**(row | {"name": name + row["name"], "allowed": tuple(row["allowed"])})) for row in json.loads(value[0])]


def _hash(*parts: str) -> bytes:
    return sha256("\x1f".join(parts).encode(errors="replace")).digest()


def _parts(items: list) -> Iterator[list]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))
