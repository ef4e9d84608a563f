"""Figures that runs recorded."""

from storage.catalog import Catalog
from storage.home import Home


def curve(home: Home, run_id: str, name: str) -> list[tuple[int, float]]:
    """(step, value) of a metric, in the order of the steps; `run_id` is the run that made the artifact."""
    rows = Catalog.of(home).query("SELECT step, value FROM metrics WHERE run_id = ? AND name = ? ORDER BY step", [run_id, name])
    return [(row["step"], row["value"]) for row in rows]
