"""What the chat needs of an index: a retriever, or the one that serves at the moment."""

from collections.abc import Collection
from typing import Protocol

from tasks.rag.confidence import Thresholds
from tasks.rag.retrieval import Hit


class Index(Protocol):
    """What the engine needs of a retriever."""

    def search(self, query: str, k: int, groups: frozenset[str] = frozenset()) -> list[Hit]: ...

    def confidence(self, query: str, hits: list[Hit], groups: frozenset[str] = frozenset()) -> float: ...

    def thresholds(self, query: str, cost_wrong: float) -> Thresholds: ...

    def rarity(self, term: str, groups: frozenset[str] = frozenset()) -> float: ...

    def sentences(self, query: str, chunk_ids: Collection[str]) -> dict[str, list[tuple[str, float]]]: ...

    @property
    def version(self) -> str:
        """Its artifact's id; "" where it is no artifact."""

    def standing(self) -> "Index":
        """The index that it is now, whatever takes its place meanwhile."""
