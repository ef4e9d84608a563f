"""`migaki index --verify`: the catalog, the files of the index that serves and its documents are compared, and what differs is mended.

The catalog says which index serves; an index is believed as far as its checksums hold and its parts agree. Rows that differ are entered
again from the artifact, a damaged artifact is built again from the documents that it was built from.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flows.running.dispatch import print_line, stage_flow
from flows.running.local import local_server
from flows.running.parameters import RunSettings
from flows.serving.live_index import open_champion
from storage.artifacts import ArtifactRef, ArtifactStore, read_manifest
from storage.home import Home, StorageError
from storage.queries.artifacts import inputs_of, rows_of, settings_of
from storage.queries.documents import indexed, skipped
from storage.registry import Index, champion_index, restore_rows, set_champion_index
from tasks.errors import MigakiError
from tasks.rag.settings import IndexSettings

TABLES = ("documents", "chunks")


def verify_index(home: Home, run: RunSettings) -> dict[str, Any]:
    """Compare and mend. Answers with what was found and done; `exit_code` is 1 where something could not be mended.

    Raises:
        MigakiError: no index serves yet.
    """
    now = champion_index(home)
    if now is None:
        raise MigakiError("no index serves yet: run `migaki index` first")
    key, found, done, failed = now.artifact_id, artifact_faults(home, now.artifact_id), [], ""
    if found:
        try:
            key = _built_again(home, now, run)
            done.append(f"built the index again from its documents ({key[:12]})")
        except (MigakiError, StorageError) as error:
            failed = f"the index could not be built again: {error}"
    if not failed:
        ref = ArtifactStore(home).get(key)
        if differing := row_faults(home, ref):
            found += differing
            restore_rows(home, ref, TABLES)
            done.append("entered its rows into the catalog again")
        left = [*artifact_faults(home, key), *row_faults(home, ref)] if done else []
        failed = "; ".join(left)
    return _report(home, key, found, done, failed)


def artifact_faults(home: Home, key: str) -> list[str]:
    """What is wrong with the files of the index that serves."""
    store = ArtifactStore(home)
    if not (home.objects / "index" / key).is_dir():
        return [f"the index that serves, {key[:12]}, is gone"]
    if not store.is_whole("index", key):
        return [f"files of the index {key[:12]} are missing or not what was written"]
    from tasks.rag.checks import faults

    try:
        retriever = open_champion(home).retriever
        return faults(home.objects / "index" / key, retriever) if retriever else [f"the index that serves, {key[:12]}, is gone"]
    except (MigakiError, StorageError) as error:  # of another format, say
        return [str(error)]


def row_faults(home: Home, ref: ArtifactRef) -> list[str]:
    """How the catalog's rows differ from those of an artifact."""
    import pyarrow.parquet as pq

    from tasks.rag.checks import rows_at_fault

    found = []
    for name in TABLES:
        own = pq.read_table(ArtifactStore(home).path(ref) / "tables" / f"{name}.parquet")
        found.append(rows_at_fault(name, rows_of(home, ref.id, name, own.column_names), own.to_pylist()))
    return [fault for fault in found if fault]


def _built_again(home: Home, now: Index, run: RunSettings) -> str:
    """The id of an index made anew with the settings and inputs of one that cannot be believed.

    Raises:
        MigakiError, StorageError: its documents are gone, or cannot be indexed.
    """
    store, key = ArtifactStore(home), now.artifact_id
    manifest = read_manifest(home.objects / "index" / key) or {}
    settings = manifest.get("settings") or settings_of(home, key)
    for role, artifact_id in (inputs := manifest.get("inputs") or inputs_of(home, key)).items():
        if not store.is_whole(store.get(artifact_id).kind, artifact_id):  # before anything is removed
            raise MigakiError(f"the {role} {artifact_id[:12]} that it was made from is damaged: run `migaki prepare`, then `migaki index`")
    store.discard("index", key)
    forget(home)
    models = {"embedder": now.embedder or run.embedder, "embedder_en": manifest.get("embedder_en", run.embedder_en)}
    with local_server(home):
        made = stage_flow("index", IndexSettings.build("index", settings), run.model_copy(update=models), inputs, "")
    set_champion_index(home, made, now.calibration_id if made == now.artifact_id else None)
    return made


def forget(home: Home) -> None:
    """Drop what earlier builds worked out: whatever made the index wrong may be among it."""
    from storage.segments import Segments

    for folder in {path.parent for path in (home.root / "cache").rglob("*.parquet")}:
        Segments(folder, ()).drop()


def _report(
    home: Home, key: str, found: list[str], done: list[str], failed: str, say: Callable[[str], None] = print_line
) -> dict[str, Any]:
    inside, outside = indexed(home, key), skipped(home, key)
    say(f"index {key[:12]}: {inside.documents} of {inside.documents + len(outside)} documents are indexed, in {inside.chunks} chunks")
    for document in outside:
        say(f"skipped: {document.path}: {document.reason}")
    for fault in found:
        say(f"found: {fault}")
    for repair in done:
        say(f"done: {repair}")
    say(f"not mended: {failed}" if failed else "the index is mended" if found else "the index is in order")
    facts = {"index": key} | asdict(inside) | {"skipped": [asdict(document) for document in outside]}
    return facts | {"found": found, "done": done, "failed": failed, "exit_code": int(bool(failed))}
