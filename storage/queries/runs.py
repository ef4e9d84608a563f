"""Runs, and the stages that ran under them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.catalog import JSON, Catalog
from storage.home import Home, StorageError


@dataclass(frozen=True)
class Run:
    """A row of `runs`."""

    run_id: str
    flow: str
    status: str
    profile: str
    seconds: float | None  # None until it ends
    started: datetime
    error: str | None


@dataclass(frozen=True)
class StageRun:
    """A stage that ran under another run, with what it came to."""

    stage: str
    status: str
    seconds: float | None
    artifact_id: str | None  # None where it came to nothing
    made_by: str | None  # the run that made the artifact: another one where it was reused
    body_seconds: float | None  # that making the artifact took
    meta: dict[str, Any] = field(metadata=JSON)  # of the artifact


def run(home: Home, run_id: str) -> Run:
    """The run of that id.

    Raises:
        StorageError: there is none.
    """
    rows = Catalog.of(home).select(Run, "FROM runs WHERE run_id = ?", [run_id])
    if not rows:
        raise StorageError(f"the catalog has no run {run_id!r}; `migaki status` lists the last ones")
    return rows[0]


def newest_runs(home: Home, count: int) -> list[Run]:
    """Runs that belong to no other, the latest first."""
    return Catalog.of(home).select(Run, "FROM runs WHERE parent_run_id IS NULL ORDER BY started DESC LIMIT ?", [count])


def stages(home: Home, run_id: str) -> list[StageRun]:
    """The stages of a run in their order."""
    return Catalog.of(home).select(
        StageRun,
        """FROM (SELECT r.flow AS stage, r.status, r.seconds, r.started, a.artifact_id, a.run_id AS made_by, a.seconds AS body_seconds,
                        coalesce(a.meta::VARCHAR, '{}') AS meta
                 FROM runs r LEFT JOIN artifacts a USING (artifact_id) WHERE r.parent_run_id = ?) ORDER BY started""",
        [run_id],
    )
