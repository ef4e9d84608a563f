"""What the catalog knows of runs, artifacts and models, written from manifests so that it can be rebuilt from them. Which release serves says
`storage.releases`.

A stage on a GPU worker writes objects only; the parent (or `rebuild`) calls `register` with the manifest. A parallel run of the
same registration changes nothing.
"""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from storage.artifacts import MANIFEST, ArtifactRef, ArtifactStore, canonical_json
from storage.catalog import Catalog, insert, utc_now
from storage.home import Home
from storage.kinds import Kind
from storage.tables import TABLES


@dataclass(frozen=True)
class Artifact:
    """A row of `artifacts`."""

    artifact_id: str
    kind: Kind
    stage: str
    uri: str
    run_id: str | None
    bytes: int | None
    seconds: float | None
    created: datetime


@dataclass(frozen=True)
class Model:
    """A row of `models`. Its stage is candidate, champion, archived or rejected."""

    model_id: str
    stage: str
    artifact_id: str
    base: str | None
    precision: str | None
    bytes: int
    run_id: str | None
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class Index:
    """A row of `indexes`. Its stage is candidate, champion or archived."""

    artifact_id: str
    run_id: str | None
    stage: str
    embedder: str | None
    dimension: int | None
    documents: int
    chunks: int
    skipped: int
    hit_at_5: float | None
    calibration_id: str | None  # that serves with it; None where that is the bundled one


def begin_run(
    home: Home, run_id: str, flow: str, *, parent: str | None = None, profile: str = "", settings: dict[str, Any] | None = None
) -> None:
    """Write a row with status `running`, with host and process, so that a dead one can be told."""
    row = {
        "run_id": run_id,
        "parent_run_id": parent,
        "flow": flow,
        "status": "running",
        "profile": profile,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": utc_now(),
        "settings": canonical_json(settings or {}),
    }
    with Catalog.of(home).write() as connection:
        if parent is None:  # a stage begins when its run has just done it
            mark_crashed(connection)
        insert(connection, "runs", [row])


def end_run(home: Home, run_id: str, status: str, *, ref: ArtifactRef | None = None, error: str | None = None) -> None:
    """Close a run as completed, reused, failed or cancelled."""
    now = utc_now()
    with Catalog.of(home).write() as connection:
        connection.execute(
            "UPDATE runs SET status = ?, ended = ?, seconds = epoch(CAST(? AS TIMESTAMP) - started), artifact_id = ?, key = ?, error = ? WHERE run_id = ?",
            [status, now, now, ref and ref.id, ref and ref.id, error, run_id],
        )


def mark_crashed(connection: duckdb.DuckDBPyConnection) -> None:
    """Runs of this host whose process is gone did not end by themselves."""
    for run_id, pid in connection.execute(
        "SELECT run_id, pid FROM runs WHERE status = 'running' AND host = ?", [socket.gethostname()]
    ).fetchall():
        if not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            connection.execute(
                "UPDATE runs SET status = 'crashed', ended = ?, error = 'the process was killed' WHERE run_id = ?", [utc_now(), run_id]
            )


def register(home: Home, ref: ArtifactRef) -> None:
    """Enter an artifact, its lineage, metrics and tables into the catalog, once."""
    if Catalog.of(home).query("SELECT 1 FROM artifacts WHERE artifact_id = ?", [ref.id]):  # as most are: a write takes longer
        return
    folder = ArtifactStore(home).path(ref)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    tables = {path.stem: pq.read_table(path) for path in sorted((folder / "tables").glob("*.parquet"))}
    run_id = manifest["run_id"]
    artifact = {
        "artifact_id": ref.id,
        "kind": ref.kind,
        "stage": manifest["stage"],
        "uri": ref.uri,
        "run_id": run_id,
        "seconds": manifest["seconds"],
        "bytes": sum(fact["bytes"] for fact in manifest["files"].values()),
        "created": datetime.fromisoformat(manifest["created"]),
        "settings": manifest["settings"],
        "meta": manifest["meta"],
    }
    lineage = [{"child_id": ref.id, "parent_id": parent, "role": role} for role, parent in manifest["inputs"].items()]
    with Catalog.of(home).write() as connection:
        if connection.execute("SELECT 1 FROM artifacts WHERE artifact_id = ?", [ref.id]).fetchone():
            return
        insert(connection, "artifacts", [artifact])
        insert(connection, "lineage", lineage)
        for name, rows in tables.items():
            insert(connection, name, rows, **{column: artifact[column] for column in TABLES[name].filled})
        if ref.kind == "model":
            insert(
                connection,
                "models",
                [
                    {
                        "model_id": ref.id,
                        "stage": "candidate",
                        "artifact_id": ref.id,
                        "base": manifest["model"],
                        "run_id": run_id,
                        "precision": manifest["meta"].get("precision"),
                        "bytes": artifact["bytes"],
                        "created": artifact["created"],
                        "updated": utc_now(),
                    }
                ],
            )
        if ref.kind == "release":
            row = {"release_id": ref.id, "stage": "candidate", "artifact_id": manifest["meta"].get("model") or None, "run_id": run_id}
            insert(connection, "releases", [row | {"created": artifact["created"], "updated": utc_now()}])


def rebuild(home: Home) -> int:
    """Register every artifact whose manifest is there. Returns how many there are."""
    refs = [ArtifactRef(id=m["id"], kind=m["kind"], uri=m["uri"], meta=m["meta"]) for m in ArtifactStore(home).manifests()]
    for ref in refs:
        register(home, ref)
    return len(refs)


def champion(home: Home) -> Model | None:
    """The model of the champion release (`storage.releases` moves both in one transaction); None where a server answers, or nothing serves yet."""
    rows = Catalog.of(home).select(Model, "FROM models WHERE stage = 'champion' ORDER BY updated DESC LIMIT 1")
    return rows[0] if rows else None


def champion_index(home: Home) -> Index | None:
    """The index that serves, or None before the first."""
    rows = Catalog.of(home).select(Index, "FROM indexes WHERE stage = 'champion' LIMIT 1")
    return rows[0] if rows else None


def newest_artifact(home: Home, *, stage: str | None = None, kind: Kind | None = None) -> Artifact | None:
    """The artifact made last, of that stage and that kind where they are named, or None."""
    rows = Catalog.of(home).select(
        Artifact,
        "FROM artifacts WHERE stage = coalesce(?, stage) AND kind = coalesce(?, kind) ORDER BY created DESC LIMIT 1",
        [stage, kind],
    )
    return rows[0] if rows else None


def newest_classifier(home: Home) -> Artifact | None:
    """The classifier of requests that was made last, or None before the first."""
    return newest_artifact(home, kind="classifier")


def restore_rows(home: Home, ref: ArtifactRef, names: tuple[str, ...]) -> None:
    """Put an artifact's own rows of these tables in the place of what the catalog has of them."""
    folder = ArtifactStore(home).path(ref)
    run_id = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["run_id"]
    tables = {name: pq.read_table(folder / "tables" / f"{name}.parquet") for name in names}
    with Catalog.of(home).write() as connection:
        for name, rows in tables.items():
            connection.execute(f"DELETE FROM {name} WHERE artifact_id = ?", [ref.id])
            insert(connection, name, rows, run_id=run_id, artifact_id=ref.id)


def set_champion_index(home: Home, artifact_id: str, calibration_id: str | None = None) -> None:
    """The index has a champion of its own: promoting a model never moves it. Its calibration moves with it, in one transaction. The texts of archived
    indexes stay in their artifacts alone."""
    with Catalog.of(home).write() as connection:
        connection.execute(
            "UPDATE indexes SET stage = CASE WHEN artifact_id = ? THEN 'champion' ELSE 'archived' END WHERE artifact_id = ? OR stage = 'champion'",
            [artifact_id, artifact_id],
        )
        connection.execute("UPDATE indexes SET calibration_id = ? WHERE artifact_id = ?", [calibration_id, artifact_id])
        connection.execute("DELETE FROM chunks WHERE artifact_id IN (SELECT artifact_id FROM indexes WHERE stage = 'archived')")


def record_metrics(home: Home, run_id: str, figures: Mapping[str, float]) -> None:
    """Figures of a run, by name, that no artifact brings along."""
    rows = [{"run_id": run_id, "name": name, "step": 0, "value": float(value), "ts": utc_now()} for name, value in figures.items()]
    with Catalog.of(home).write() as connection:
        insert(connection, "metrics", rows)
