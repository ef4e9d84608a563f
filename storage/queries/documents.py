"""Documents of an index, with what became of them."""

from dataclasses import dataclass

from storage.catalog import Catalog
from storage.home import Home


@dataclass(frozen=True)
class IndexedDocuments:
    """How many documents of an index were indexed, and the number of their chunks."""

    documents: int
    chunks: int


@dataclass(frozen=True)
class SkippedDocument:
    """A document that is not in the index, and why."""

    path: str
    reason: str | None


def indexed(home: Home, index_id: str) -> IndexedDocuments:
    """What of its documents is in the index."""
    (counts,) = Catalog.of(home).select(
        IndexedDocuments,
        """FROM (SELECT count(*) AS documents, coalesce(sum(chunks), 0)::BIGINT AS chunks
                 FROM documents WHERE artifact_id = ? AND status = 'indexed')""",
        [index_id],
    )
    return counts


def skipped(home: Home, index_id: str) -> list[SkippedDocument]:
    """The documents that are not in the index, by path."""
    return Catalog.of(home).select(SkippedDocument, "FROM documents WHERE artifact_id = ? AND status = 'skipped' ORDER BY path", [index_id])
