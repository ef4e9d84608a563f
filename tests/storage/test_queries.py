"""What is asked of the catalog comes back typed, in the order that is promised, and of the artifact or run that was named."""

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.artifacts import ArtifactStore
from storage.catalog import Catalog, insert
from storage.home import Home, StorageError
from storage.queries import artifacts, comparisons, datasets, documents, evaluations, indexes, metrics, models, promotions, runs, tables
from storage.registry import (
    begin_run,
    champion,
    champion_index,
    end_run,
    newest_artifact,
    newest_classifier,
    record_metrics,
    register,
    set_champion_index,
)
from tests.helpers.releases import decide, kept

NOON = datetime(2026, 1, 1, 12)


def make(home: Home, name: str, kind: str, minute: int = 0, rows: dict[str, list[dict]] | None = None, **facts):
    """A registered artifact whose run is `run-NAME`, made so many minutes after noon."""
    manifest = {"stage": f"stage-{kind}", "run_id": f"run-{name}", "settings": {}, "inputs": {}, "model": "hub:base", "seconds": 2.0}
    manifest |= {"meta": {"headlines": [], "adapters": [], "models": {}}, "created": (NOON + timedelta(minutes=minute)).isoformat()} | facts
    store = ArtifactStore(home)
    with store.draft(kind, name) as folder:
        (folder / "tables").mkdir()
        for table, own in (rows or {}).items():
            pq.write_table(pa.Table.from_pylist(own), folder / "tables" / f"{table}.parquet")
        ref = store.commit(folder, manifest)
    register(home, ref)
    return ref


def test_a_run_and_its_stages(home):
    made = make(home, "data1", "dataset", meta={"headlines": [{"label": "rows", "before": None, "after": 3}]})
    begin_run(home, "whole", "retrain", profile="quick")
    for run_id, flow in (("one", "prepare"), ("two", "tune")):
        begin_run(home, run_id, flow, parent="whole")
    end_run(home, "one", "reused", ref=made)
    end_run(home, "two", "failed", error="MigakiError: no")
    first, second = runs.stages(home, "whole")
    assert (first.stage, first.status, first.artifact_id, first.made_by, first.body_seconds) == (
        "prepare",
        "reused",
        "data1",
        "run-data1",
        2.0,
    )
    assert first.meta["headlines"][0]["after"] == 3 and first.seconds >= 0
    assert (second.stage, second.artifact_id, second.made_by, second.meta) == ("tune", None, None, {})
    assert runs.run(home, "whole").profile == "quick" and runs.run(home, "two").error == "MigakiError: no"
    assert [run.run_id for run in runs.newest_runs(home, 10)] == ["whole"] and runs.newest_runs(home, 0) == []
    with pytest.raises(StorageError, match="no run 'three'.*migaki status"):
        runs.run(home, "three")


def test_curves_are_of_the_run_and_in_order(home):
    rows = [{"name": name, "step": step, "value": step / 2, "ts": NOON} for step in (2, 1) for name in ("tune.loss", "tune.rate")]
    make(home, "tuned", "adapter", rows={"metrics": rows})
    assert metrics.curve(home, "run-tuned", "tune.loss") == [(1, 0.5), (2, 1.0)]
    assert metrics.curve(home, "run-other", "tune.loss") == []
    record_metrics(home, "chats", {"harvest.pairs": 3})
    assert metrics.curve(home, "chats", "harvest.pairs") == [(0, 3.0)]


def test_the_newest_artifact_by_stage_and_kind(home):
    for name, kind, minute in (("old", "dataset", 0), ("new", "dataset", 2), ("other", "classifier", 1)):
        make(home, name, kind, minute)
    assert newest_artifact(home).artifact_id == "new" and newest_artifact(home, kind="dataset").artifact_id == "new"
    assert newest_artifact(home, stage="stage-classifier") == newest_classifier(home) and newest_classifier(home).artifact_id == "other"
    assert newest_artifact(home, kind="index") is None and newest_artifact(home, stage="stage-dataset", kind="classifier") is None


def test_what_an_artifact_was_made_of(home):
    chunk = {"chunk_id": "c", "document_id": "d", "ordinal": 0, "text": "量子"}
    make(home, "index1", "index", settings={"chunk": 96}, inputs={"dataset": "data1"}, rows={"chunks": [chunk]})
    make(home, "index2", "index", rows={"chunks": [chunk | {"text": "other"}]})
    assert artifacts.settings_of(home, "index1") == {"chunk": 96} and artifacts.settings_of(home, "none") == {}
    assert artifacts.inputs_of(home, "index1") == {"dataset": "data1"}
    assert artifacts.rows_of(home, "index1", "chunks", ["text", "ordinal"]) == [{"text": "量子", "ordinal": 0}]


def test_models_and_promotions(home):
    for minute, name in enumerate(("first", "second", "third")):
        make(home, name, "model", minute, meta={"precision": "fp16"})
    assert [model.model_id for model in models.newest_models(home, 2)] == ["third", "second"]
    assert [model.model_id for model in models.newest_models(home, 1, but="third")] == ["second"]
    assert champion(home) is None and promotions.promotion_of(home, "r") is None
    release = kept(home, "first")
    decide(home, release, "promote", "better", run_id="r", low=-0.2, high=-0.1)
    found = promotions.promotion_of(home, "r")
    assert (found.decision, found.reason, found.low, found.champion_id) == ("promote", "better", -0.2, None)
    assert (found.release_id, found.champion_release_id, found.model_id) == (release, None, "first")
    now = champion(home)
    assert (now.model_id, now.stage, now.base, now.precision) == ("first", "champion", "hub:base", "fp16") and now.updated > now.created


def test_indexes_and_their_documents(home):
    row = {"stage": "candidate", "embedder": "e", "dimension": 4, "documents": 1, "chunks": 2, "skipped": 1, "hit_at_5": None}
    read = {"document_id": "a", "path": "a.md", "chunks": 2, "status": "indexed", "reason": None}
    passed = [{"document_id": name, "path": f"{name}.bin", "chunks": 0, "status": "skipped", "reason": "no text"} for name in "zb"]
    for minute, name in enumerate(("index1", "index2")):
        make(home, name, "index", minute, rows={"indexes": [row], "documents": [read, *passed]})
    assert champion_index(home) is None
    set_champion_index(home, "index1")
    assert (champion_index(home).artifact_id, champion_index(home).stage, champion_index(home).chunks) == ("index1", "champion", 2)
    newest = indexes.newest_indexes(home, 5)
    assert [index.artifact_id for index in newest] == ["index2", "index1"] and newest[1].created == NOON and newest[0].stage == "candidate"
    assert documents.indexed(home, "index1") == documents.IndexedDocuments(1, 2)
    assert documents.indexed(home, "none") == documents.IndexedDocuments(0, 0)
    assert documents.skipped(home, "index1") == [documents.SkippedDocument(path, "no text") for path in ("b.bin", "z.bin")]


def test_counts_figures_and_answers_of_an_artifact(home):
    counts = [{"kind": kind, "split": "train", "lang": "en", "reason": "", "rows": 3} for kind in ("preferences", "instructions")]
    make(home, "data1", "dataset", rows={"datasets": counts})
    assert [(count.kind, count.rows) for count in datasets.row_counts(home, "data1")] == [("instructions", 3), ("preferences", 3)]
    figure = {"model": "base", "model_id": None, "metric": "loss", "lang": "all", "value": 1.0, "low": 0.5, "high": 1.5, "items": 8}
    said = {"model": "base", "item_id": "1", "lang": "ja", "prompt": "p", "reference": "r", "answer": "a"}
    rows = {"evaluations": [figure], "evaluation_answers": [said | {"suite": suite} for suite in ("answers", "loss")]}
    make(home, "eval1", "evaluation", rows=rows)
    assert evaluations.figures_of(home, "eval1") == [evaluations.Figure(**figure)] and evaluations.figures_of(home, "data1") == []
    assert evaluations.sampled_answers(home, "eval1") == [evaluations.SampledAnswer(**said)]


def test_pairs_come_back_in_order_and_can_be_taken_back(home):
    pair = lambda name, minute: comparisons.ComparedPair(
        name, "s", "a", "b", "m1", "m2", "tie", NOON + timedelta(minutes=minute), [{"role": "user", "content": "質問"}]
    )
    for one in (pair("late", 2), pair("early", 1)):
        comparisons.keep_pair(home, one)
    with Catalog.of(home).write() as connection:
        insert(connection, "feedback", [{"feedback_id": "rating", "turn_id": "t", "rating": 1}])
    assert comparisons.compared_pairs(home) == [pair("early", 1), pair("late", 2)]
    comparisons.forget_pair(home, "late")
    comparisons.forget_pair(home, "nothing")
    assert comparisons.compared_pairs(home) == [pair("early", 1)]


def test_tables_as_a_whole(home):
    with Catalog.of(home).write() as connection:
        connection.execute("CREATE TABLE handbook (body VARCHAR)")
        insert(connection, "handbook", [{"body": "b"}, {"body": "a"}])
    assert {"handbook", "runs"} <= set(tables.table_names(home))
    assert tables.table_rows(home, "handbook") == [{"body": "a"}, {"body": "b"}]
