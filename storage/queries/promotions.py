"""Decisions on releases."""

from storage.catalog import Catalog
from storage.home import Home
from storage.releases import Promotion


def promotion_of(home: Home, run_id: str) -> Promotion | None:
    """What a run decided; None where it decided nothing, as the release was the champion already."""
    rows = Catalog.of(home).select(Promotion, "FROM promotions WHERE run_id = ?", [run_id])
    return rows[0] if rows else None


def newest_promotion(home: Home) -> Promotion | None:
    """What was decided last, by the gate or by hand; None before anything was."""
    rows = Catalog.of(home).select(Promotion, "FROM promotions ORDER BY ts DESC LIMIT 1")
    return rows[0] if rows else None
