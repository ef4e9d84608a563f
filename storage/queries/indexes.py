"""Indexes of documents. Which one serves says `storage.registry.champion_index`."""

from dataclasses import dataclass
from datetime import datetime

from storage.catalog import Catalog
from storage.home import Home
from storage.registry import Index


@dataclass(frozen=True)
class MadeIndex(Index):
    """An index with the time at which it was made."""

    created: datetime


def newest_indexes(home: Home, count: int) -> list[MadeIndex]:
    """Indexes, the latest first."""
    return Catalog.of(home).select(
        MadeIndex,
        "FROM (SELECT i.*, a.created FROM indexes i JOIN artifacts a USING (artifact_id)) ORDER BY created DESC LIMIT ?",
        [count],
    )
