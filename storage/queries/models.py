"""Models that can serve. Which one does says `storage.registry.champion`."""

from storage.catalog import Catalog
from storage.home import Home
from storage.registry import Model


def newest_models(home: Home, count: int, *, but: str | None = None) -> list[Model]:
    """Models, the latest first, without the one whose id is `but`."""
    return Catalog.of(home).select(Model, "FROM models WHERE model_id IS DISTINCT FROM ? ORDER BY created DESC LIMIT ?", [but, count])
