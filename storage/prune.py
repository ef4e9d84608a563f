"""Free the disk of artifacts that nothing needs any more.

What stays: the champions, the newest classifier, the releases that were promoted last and those that wait for a person with all they name, all that
the newest runs made or reused, and everything that those were made from. A release that was not promoted stays as long as all that it names does. What is said of the others in words and figures (runs, metrics, evaluations, decisions) stays in the catalog; their rows of texts go with them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.approvals import pending
from storage.artifacts import ArtifactRef, ArtifactStore, reference
from storage.audit import note, system_user
from storage.catalog import Catalog, utc_now
from storage.home import Home, StorageError
from storage.registry import champion, champion_index, mark_crashed, newest_classifier
from storage.releases import last_promoted

YOUNG = timedelta(hours=1)  # a run that is not in the catalog yet, on another machine say, may be about to use it
PROMOTED = 3  # releases that `migaki promote --rollback` and `--to` can go back to
ROWS = ("artifacts", "models", "indexes", "documents", "chunks", "rollouts", "evaluation_answers")


@dataclass(frozen=True)
class Unneeded:
    """An artifact that may go."""

    ref: ArtifactRef
    stage: str
    created: datetime
    bytes: int


def unneeded(home: Home, keep_runs: int) -> list[Unneeded]:
    """What may go when the newest `keep_runs` runs are kept, oldest first."""
    manifests = {manifest["id"]: manifest for manifest in ArtifactStore(home).manifests()}
    needed, stays = _roots(home, keep_runs), set()
    while needed:
        artifact = needed.pop()
        if artifact in manifests and artifact not in stays:
            stays.add(artifact)
            needed |= set(manifests[artifact]["inputs"].values())
    stays |= {one for one, made in manifests.items() if made["kind"] == "release" and stays.issuperset(made["inputs"].values())}
    return [
        Unneeded(reference(manifest), manifest["stage"], created, sum(fact["bytes"] for fact in manifest["files"].values()))
        for manifest in manifests.values()
        if manifest["id"] not in stays and (created := _created(manifest)) < datetime.now(UTC) - YOUNG
    ]


def prune(home: Home, keep_runs: int) -> list[Unneeded]:
    """Remove what `unneeded` names, from the disk and from the catalog. Interrupted, it leaves nothing half there.

    Raises:
        StorageError: a run is going on, which may be about to use what would be removed.
    """
    looked, store = utc_now(), ArtifactStore(home)
    going = unneeded(home, keep_runs)
    ids = [one.ref.id for one in going]
    with Catalog.of(home).write() as connection:  # a run that would begin now waits
        mark_crashed(connection)
        running = connection.execute("SELECT run_id FROM runs WHERE status = 'running' OR started >= ?", [looked]).fetchall()
        if running:
            raise StorageError(
                f"{len(running)} runs are going on ({running[0][0][:8]}...): wait for their end, or look at them with `migaki status`"
            )
        if going:  # the rows first: what the catalog names is there
            for table in ROWS:
                connection.execute(f"DELETE FROM {table} WHERE artifact_id IN (SELECT unnest(?))", [ids])
            connection.execute("DELETE FROM releases WHERE release_id IN (SELECT unnest(?))", [ids])
            connection.execute("DELETE FROM lineage WHERE child_id IN (SELECT unnest(?))", [ids])
            detail = {"artifacts": [{"kind": one.ref.kind, "id": one.ref.id} for one in going], "bytes": sum(one.bytes for one in going)}
            note(connection, system_user(), "prune", "artifacts", f"not needed by the champions or the newest {keep_runs} runs", detail)
    for one in going:
        store.discard(one.ref.kind, one.ref.id)
    return going


def _roots(home: Home, keep_runs: int) -> set[str]:
    """The artifacts that are needed for themselves."""
    rows = Catalog.of(home).query(
        """WITH newest AS (SELECT run_id FROM runs WHERE parent_run_id IS NULL ORDER BY started DESC LIMIT ?)
           SELECT artifact_id FROM runs WHERE run_id IN (FROM newest) OR parent_run_id IN (FROM newest)""",
        [keep_runs],
    )
    serving = [champion(home), champion_index(home), newest_classifier(home)]
    releases = last_promoted(home, PROMOTED)
    index = champion_index(home)
    named = (
        [one.artifact_id for one in serving if one]
        + [index.calibration_id if index else None]
        + [id for one in releases for id in (one.release_id, one.index_id)]
        + [id for one in pending(home) for id in (one.release_id, one.index_id, one.evaluation_id)]
    )
    return {id for id in [*named, *(row["artifact_id"] for row in rows)] if id}


def _created(manifest: dict[str, Any]) -> datetime:
    created = datetime.fromisoformat(manifest["created"])
    return created if created.tzinfo else created.replace(tzinfo=UTC)
