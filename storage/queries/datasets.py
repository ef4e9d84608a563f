"""What datasets hold, and what was left out of them."""

from dataclasses import dataclass

from storage.catalog import Catalog
from storage.home import Home


@dataclass(frozen=True)
class RowCount:
    """Rows of a dataset that were kept (reason "") or dropped for that reason."""

    kind: str
    split: str
    lang: str
    reason: str
    rows: int


def row_counts(home: Home, artifact_id: str) -> list[RowCount]:
    """The counts of a dataset, ordered by kind, split, language and reason."""
    return Catalog.of(home).select(RowCount, "FROM datasets WHERE artifact_id = ? ORDER BY ALL", [artifact_id])
