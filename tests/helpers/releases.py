"""Releases without flows: committed, registered, and promoted."""

import pyarrow as pa
import pyarrow.parquet as pq

from flows.running.releases import keep_release, release_of
from storage.artifacts import ArtifactStore, content_key
from storage.home import Home
from storage.kinds import Release
from storage.registry import register
from storage.releases import Promotion, champion_release, record_promotion
from tasks.chatbot.release import Sections

OLD = "2026-01-01T00:00:00"


def kept(home: Home, model: str = "", created: str = OLD, run_id: str = "r", **facts) -> str:
    """The id of a registered release of this model."""
    facts = {"templates": {}, "chat": {}, "answering": {}, "tools": {}, "safety": {}} | facts
    record = Release(model=model, **facts)
    inputs = {role: id for role, id in (("model", model), ("classifier", record.classifier)) if id}
    manifest = {"stage": "release", "run_id": run_id, "settings": {}, "inputs": inputs, "model": None, "seconds": 0.0, "created": created}
    store, meta = ArtifactStore(home), record.meta()
    with store.draft("release", content_key(meta)) as folder:
        ref = store.commit(folder, manifest | {"meta": meta})
    register(home, ref)
    return ref.id


def decide(home: Home, release: str, decision: str = "promote", reason: str = "test", run_id: str | None = None, **facts) -> None:
    """Record a decision against the champion of this moment."""
    now = champion_release(home)
    facts = {"champion_release_id": now.release_id if now else None} | facts
    record_promotion(home, Promotion(f"{decision} {release[:8]} {run_id}", release, decision, reason, run_id=run_id, **facts))


def promoted(home: Home, model: str, **facts) -> str:
    """The id of a release of this model that serves."""
    release = kept(home, model, **facts)
    decide(home, release)
    return release


def part(home: Home, name: str, kind: str, meta: dict, inputs: dict[str, str] | None = None, **tables: list[dict]):
    """An artifact of this name, registered; with its inputs by role and rows of these tables."""
    store = ArtifactStore(home)
    with store.draft(kind, name) as folder:
        (folder / "weights").write_bytes(b"0123")
        for table, rows in tables.items():
            (folder / "tables").mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), folder / "tables" / f"{table}.parquet")
        facts = {"stage": "quantize", "run_id": "r", "settings": {}, "model": "hub:a/b", "seconds": 0.0, "created": OLD}
        ref = store.commit(folder, facts | {"inputs": inputs or {}, "meta": meta})
    register(home, ref)
    return ref


def made(home: Home, name: str, classifier: str = "", **chat):
    """A candidate with these settings of the chat, of a model that is made where there is none of that name."""
    store = ArtifactStore(home)
    model = store.find("model", name) or part(home, name, "model", {"precision": "fp32"})
    return keep_release(home, release_of(home, Sections.of({"chat": chat}), model, classifier))
