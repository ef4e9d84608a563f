"""A program that runs for long takes up a new index by itself, and `--verify` finds and mends what differs."""

import shutil
import time
from contextlib import nullcontext

import pytest

import flows.commands.verify
from flows.commands.verify import verify_index
from flows.running.parameters import RunSettings
from flows.serving.live_index import LiveIndex, open_champion
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.home import StorageError
from storage.registry import champion_index, set_champion_index
from tasks.errors import MigakiError
from tasks.rag.bm25 import BM25
from tests.helpers.project import seal


def until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_a_new_champion_takes_over_and_the_former_serves_meanwhile(served):
    live = LiveIndex(served.home, every=0.01)
    assert live.search("cat") == [] and live.rarity("cat") == 0.0 and live.serving.id == ""
    first = served.serve()
    until(lambda: live.serving.id == first.id)
    assert live.search("cat")[0].document == "cat.md"
    embedder = live.serving.retriever.embedder
    (served.docs / "cat.md").unlink()
    (served.docs / "falcon.md").write_text("The falcon is back.", encoding="utf-8")
    second = served.serve()
    assert live.search("cat")  # of the former, or nothing yet of the new: never an error
    until(lambda: live.serving.id == second.id)
    assert live.search("falcon")[0].document == "falcon.md" and "cat.md" not in {hit.document for hit in live.search("cat sleeps")}
    assert live.serving.retriever.embedder is embedder  # not loaded a second time


def test_a_turn_ends_with_the_index_that_it_began_with(served):
    first = served.serve()
    live = LiveIndex(served.home, every=0.0)
    turn = live.standing()
    assert turn.version == live.version == first.id
    (served.docs / "falcon.md").write_text("The falcon is back.", encoding="utf-8")
    second = served.index()
    set_champion_index(served.home, second.id)
    until(lambda: live.serving.id == second.id)
    assert (turn.version, turn.serving.id) == (first.id, first.id) and live.standing().version == second.id


def test_an_index_that_cannot_be_opened_never_takes_over(served):
    first = served.serve()
    live = LiveIndex(served.home, every=0.01)
    second = served.index()
    shutil.rmtree(ArtifactStore(served.home).path(second))
    set_champion_index(served.home, second.id)
    until(lambda: live.serving.retriever and live.error)
    assert live.serving.id == first.id and live.search("cat") and "is gone: run `migaki index`" in live.error


def test_the_catalog_is_asked_only_when_it_was_written(served, monkeypatch):
    served.serve()
    live = LiveIndex(served.home, every=0.0)
    monkeypatch.setattr("flows.serving.live_index.champion_index", lambda home: pytest.fail("the catalog was asked"))
    for _ in range(5):
        assert live.search("cat") and live.error == ""


@pytest.fixture
def mended(served, monkeypatch):
    """`verify_index` with a rebuild that needs no Prefect server."""
    served.serve()

    def build_again(name, settings, run, inputs, parent):
        assert settings.documents == [str(served.docs)] and set(inputs) == {"dataset"}
        return served.index().id

    monkeypatch.setattr(flows.commands.verify, "local_server", lambda home: nullcontext())
    monkeypatch.setattr(flows.commands.verify, "stage_flow", build_again)
    return lambda: verify_index(served.home, RunSettings())


def test_an_index_in_order_is_left_alone(served, mended):
    before = champion_index(served.home)
    answer = mended()
    assert answer["found"] == answer["done"] == [] and answer["exit_code"] == 0 and answer["documents"] == 2
    assert [row["path"] for row in answer["skipped"]] == ["empty.md"] and champion_index(served.home) == before


def test_rows_that_differ_are_entered_again(served, mended):
    for change in (
        "DELETE FROM chunks WHERE text LIKE '%猫%'",
        "UPDATE chunks SET text = 'other' WHERE lang = 'en'",
        "INSERT INTO chunks SELECT * REPLACE ('stale' AS chunk_id) FROM chunks LIMIT 1",
        "DELETE FROM documents",
    ):
        with Catalog.of(served.home).write() as connection:
            connection.execute(change)
        answer = mended()
        assert answer["exit_code"] == 0 and len(answer["found"]) == 1 and answer["done"] == ["entered its rows into the catalog again"]
    assert mended()["found"] == []


def spoil(served, name: str) -> None:
    """Change a byte of a file of the index that serves, and leave its manifest as it is."""
    path = served.home.objects / "index" / champion_index(served.home).artifact_id / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["dense.faiss", "sentences.npy", "manifest.json"])
def test_a_damaged_index_is_built_again(served, mended, name):
    spoil(served, name)
    answer = mended()
    assert answer["exit_code"] == 0 and "built the index again" in answer["done"][0], answer
    assert open_champion(served.home).retriever.search("cat")[0].document == "cat.md"
    assert mended()["found"] == []


def test_vectors_and_postings_of_other_texts_are_found_out(served, mended):
    import faiss
    import numpy as np

    folder = served.home.objects / "index" / champion_index(served.home).artifact_id
    wrong = faiss.IndexFlatIP(16)
    wrong.add(np.eye(16, dtype=np.float32)[:2])
    faiss.write_index(wrong, str(folder / "dense.faiss"))
    BM25.build(["one thing", "another"], 0.5, 0.3).save(folder)
    seal(folder)
    answer = mended()
    assert answer["exit_code"] == 0 and any("vectors of chunks are not those of their texts" in fault for fault in answer["found"])
    assert any("postings of its bm25" in fault for fault in answer["found"]) and mended()["found"] == []


def test_what_cannot_be_mended_is_no_success(served, mended):
    spoil(served, "dense.faiss")
    shutil.rmtree(ArtifactStore(served.home).path(served.nothing))
    answer = mended()
    assert answer["exit_code"] == 1 and "could not be built again" in answer["failed"]
    assert (served.home.objects / "index" / champion_index(served.home).artifact_id).is_dir()  # nothing was removed


def test_there_must_be_an_index(served):
    with pytest.raises(MigakiError, match="run `migaki index` first"):
        verify_index(served.home, RunSettings())


def test_texts_of_archived_indexes_leave_the_catalog(served):
    first, second = served.serve(), served.serve()
    rows = Catalog.of(served.home).query("SELECT DISTINCT artifact_id FROM chunks")
    assert [row["artifact_id"] for row in rows] == [second.id] and (ArtifactStore(served.home).path(first) / "chunks.parquet").exists()


@pytest.mark.parametrize("damage", [b"", b"PAR1 and nothing", bytes(5000)])
def test_a_damaged_index_is_one_message(served, damage):
    ref = served.serve()
    folder = ArtifactStore(served.home).path(ref)
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "manifest.json"]:
        kept = path.read_bytes()
        path.write_bytes(damage)
        with pytest.raises(MigakiError, match=r"damaged.*run `migaki index`"):
            LiveIndex(served.home)
        path.write_bytes(kept)
    (folder / "manifest.json").write_bytes(damage)
    with pytest.raises(StorageError, match="manifest of artifact .* damaged"):
        LiveIndex(served.home)
