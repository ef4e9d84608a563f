"""The report of a run: one file that opens without a network."""

from pathlib import Path

from storage.catalog import Catalog
from storage.home import Home


def write_report(home: Home, run_id: str) -> Path:
    """Write `reports/<run>.html` and `reports/latest.html` from the catalog alone."""
    from tasks.evaluation.report import build_report

    home.reports.mkdir(exist_ok=True)
    page = build_report(Catalog.of(home).query, run_id)
    for name in (run_id, "latest"):
        path = home.reports / f"{name}.html"
        scratch = path.with_suffix(".tmp")
        scratch.write_text(page, encoding="utf-8")
        scratch.replace(path)
    return home.reports / f"{run_id}.html"
