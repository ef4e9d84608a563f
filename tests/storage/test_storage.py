"""The store under load, under kill -9 and with damage: rows are all there or the write never was, artifacts are whole or absent."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from storage.artifacts import MANIFEST, ArtifactStore, content_key
from storage.catalog import Catalog, insert, newest_migration, utc_now
from storage.checkpoints import Checkpoint
from storage.home import Home, StorageError
from storage.registry import begin_run, champion, end_run, rebuild, register
from tests import ROOT
from tests.helpers.releases import decide, kept

FACTS = {
    "stage": "test",
    "run_id": "r",
    "settings": {},
    "inputs": {},
    "model": None,
    "meta": {"headlines": [], "precision": "fp32", "adapters": [], "models": {}},  # enough for each kind
    "seconds": 0.0,
    "created": "2026-01-01T00:00:00",
}


def make(home, key="a" * 64, kind="adapter", text="hello", **facts):
    store = ArtifactStore(home)
    with store.draft(kind, key) as folder:
        (folder / "file.txt").write_text(text)
        return store.commit(folder, FACTS | facts)


def metric_rows(writer, count):
    return [{"run_id": f"w{writer}", "name": "n", "step": i, "value": 1.0, "ts": utc_now()} for i in range(count)]


def write_in_batches(root, writer):
    catalog = Catalog.of(Home(root))
    for start in range(0, 500, 100):
        with catalog.write() as connection:
            insert(connection, "metrics", metric_rows(writer, 500)[start : start + 100])
        catalog.query("SELECT count(*) FROM metrics")


@pytest.mark.slow
def test_eight_processes_lose_no_row(home):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_in_batches, args=(home.root, writer)) for writer in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 8
    assert Catalog.of(home).query("SELECT run_id, count(*) AS n, count(DISTINCT step) AS d FROM metrics GROUP BY 1 ORDER BY 1") == [
        {"run_id": f"w{i}", "n": 500, "d": 500} for i in range(8)
    ]


def test_eight_threads_read_and_write_at_once(home):
    failed = []

    def work(writer):
        try:
            write_in_batches(home.root, writer)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and Catalog.of(home).query("SELECT count(*) AS n FROM metrics") == [{"n": 4000}]


KILLED_WRITER = (
    f"""
FACTS = {FACTS!r}
"""
    + """
import sys; from pathlib import Path
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.home import Home
from storage.catalog import insert, utc_now
home = Home(Path(sys.argv[1])); n = 0
while True:
    n += 1
    with Catalog.of(home).write() as c:
        insert(c, "metrics", [{"run_id": f"{sys.argv[2]}.{n}", "name": "n", "step": i, "value": 1.0, "ts": utc_now()} for i in range(50)])
    store = ArtifactStore(home)
    with store.draft("adapter", f"{sys.argv[2]}-{n}".ljust(64, "0")) as folder:
        for i in range(20):
            (folder / f"{i}.bin").write_bytes(bytes(20_000))
        store.commit(folder, FACTS)
"""
)


@pytest.mark.alone
@pytest.mark.slow
def test_twenty_kills_leave_nothing_half_and_no_lock(home):
    import random

    generator = random.Random(0)
    Catalog.of(home).query("SELECT 1")
    for kill in range(20):
        process = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(home.root), f"k{kill}"])
        time.sleep(1.2 + generator.random())  # importing DuckDB takes about a second
        process.kill()
        process.wait()
        assert Catalog.of(home).query("SELECT run_id, count(*) AS n FROM metrics GROUP BY 1 HAVING n <> 50") == []
    store = ArtifactStore(home)
    make(home)  # sweeps what the killed writers left
    folders = list(home.objects.glob("adapter/*"))
    assert len(folders) > 1
    assert all(store.find("adapter", folder.name) is not None for folder in folders)
    assert Catalog.of(home).query("SELECT count(*) AS n FROM metrics")[0]["n"] > 0


def test_the_catalog_changes_only_when_a_write_is_whole(home):
    catalog = Catalog.of(home)
    catalog.query("SELECT 1")
    before = home.warehouse.read_bytes()
    with catalog.write() as connection:
        insert(connection, "metrics", metric_rows(0, 10))
        assert home.warehouse.read_bytes() == before
    assert home.warehouse.read_bytes() != before
    assert {path.name for path in home.root.glob("warehouse*")} == {"warehouse.duckdb", "warehouse.duckdb.lock"}


def test_what_a_killed_writer_left_is_dropped_and_another_programs_log_is_kept(home):
    catalog = Catalog.of(home)
    with catalog.write() as connection:
        insert(connection, "metrics", metric_rows(0, 10))
    (home.root / "warehouse.duckdb.draft").write_bytes(b"half")
    (home.root / "warehouse.duckdb.draft.wal").write_bytes(b"half")
    other = (
        "import duckdb, os; c = duckdb.connect({!r}); c.execute('PRAGMA disable_checkpoint_on_shutdown'); "
        "c.execute('INSERT INTO metrics SELECT * FROM metrics'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", other.format(str(home.warehouse))], check=False)
    assert (home.root / "warehouse.duckdb.wal").exists()
    with catalog.write() as connection:
        insert(connection, "metrics", metric_rows(1, 10))
    assert catalog.query("SELECT count(*) AS n FROM metrics") == [{"n": 30}]
    assert {path.name for path in home.root.glob("warehouse*")} == {"warehouse.duckdb", "warehouse.duckdb.lock"}


def test_a_failed_transaction_leaves_nothing(home):
    catalog = Catalog.of(home)
    with pytest.raises(RuntimeError, match="on purpose"), catalog.write() as connection:
        insert(connection, "metrics", metric_rows(0, 10))
        raise RuntimeError("on purpose")
    assert catalog.query("SELECT count(*) AS n FROM metrics") == [{"n": 0}]


def test_a_newer_catalog_is_refused(home):
    with Catalog.of(home).write() as connection:
        connection.execute("INSERT INTO schema_version VALUES (?, ?)", [newest_migration() + 1, utc_now()])
    for ask in (lambda: Catalog.of(home).query("SELECT 1"), lambda: Catalog.of(home).write().__enter__()):
        with pytest.raises(StorageError, match="update Migaki"):
            ask()


def test_a_file_that_is_no_database_is_named(home):
    home.warehouse.write_text("not a database")
    with pytest.raises(StorageError, match=r"warehouse\.duckdb.*status --rebuild"):
        Catalog.of(home).query("SELECT 1")


def test_artifacts_are_whole_or_absent(home):
    store = ArtifactStore(home)
    with pytest.raises(RuntimeError, match="half"), store.draft("adapter", "b" * 64) as folder:
        (folder / "file.txt").write_text("half")
        raise RuntimeError("half")
    assert store.find("adapter", "b" * 64) is None and list(home.objects.glob("*/*")) == []
    ref = make(home)
    assert store.find("adapter", "a" * 64) == ref and store.get("aaaa") == ref
    assert (store.path(ref) / "file.txt").read_text() == "hello"


@pytest.mark.parametrize("path", ["../../elsewhere/adapter/a", "../adapter/aaaa", "*", "[a]*", "**", "aaaa/.."])
def test_an_id_is_no_path(home, path):
    make(home)
    with pytest.raises(StorageError, match="0 artifacts match the id"):
        ArtifactStore(home).get(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: (f / "file.txt").write_text("hellO"),
        lambda f: (f / "file.txt").unlink(),
        lambda f: (f / MANIFEST).unlink(),
        lambda f: (f / MANIFEST).write_text("{"),
    ],
)
def test_a_damaged_artifact_is_not_believed(home, damage):
    store, ref = ArtifactStore(home), make(home)
    damage(store.path(ref))
    assert store.find("adapter", ref.id) is None and not store.path(ref).exists()
    assert make(home).id == ref.id


def test_a_full_disk_is_named_and_costs_nothing(home):
    before, store = make(home), ArtifactStore(home)
    with pytest.raises(StorageError, match="no space left"), store.draft("adapter", "c" * 64) as folder:
        (folder / "big").symlink_to("/dev/full")
        with (folder / "big").open("w") as file:
            file.write("x" * 100_000)
    assert store.find("adapter", before.id) == before and not list(home.objects.glob("*/*.tmp-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("MIGAKI_HOME", str(tmp_path / "home"))
    with pytest.raises(StorageError, match="name a writable folder"):
        Home.current()


def test_a_home_inside_a_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIGAKI_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(StorageError, match="name a writable folder"):
        Home.current()


def test_living_drafts_are_not_swept(home):
    store = ArtifactStore(home)
    with store.draft("adapter", "d" * 64) as folder:
        make(home)
        assert folder.exists()


def test_registering_twice_changes_nothing_and_a_lost_catalog_comes_back(home):
    ref = make(home, kind="model", meta={"precision": "fp16", "headlines": []}, inputs={"dataset": "x"})
    for _ in range(2):
        register(home, ref)
    tables = {name: Catalog.of(home).query(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in ("artifacts", "lineage", "models")}
    assert tables == {"artifacts": 1, "lineage": 1, "models": 1}
    home.warehouse.unlink()
    assert rebuild(home) == 1
    assert Catalog.of(home).query("SELECT precision FROM models") == [{"precision": "fp16"}]


def test_promotion_moves_the_stages_in_one_go(home):
    refs = [make(home, key=str(i) * 64, kind="model") for i in range(3)]
    for ref in refs:
        register(home, ref)
    for ref, decision in zip(refs, ("promote", "keep", "promote"), strict=True):
        decide(home, kept(home, ref.id), decision)
    stages = {row["model_id"][0]: row["stage"] for row in Catalog.of(home).query("SELECT * FROM models")}
    assert stages == {"0": "archived", "1": "rejected", "2": "champion"} and champion(home).model_id == refs[2].id


def test_a_killed_run_is_marked_by_the_next(home):
    script = "import sys,time; from pathlib import Path; from storage.home import Home; from storage.registry import begin_run; begin_run(Home(Path(sys.argv[1])), 'dead', 'tune'); print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script, str(home.root)], stdout=subprocess.PIPE)
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    begin_run(home, "alive", "tune")
    end_run(home, "alive", "completed")
    assert {row["run_id"]: row["status"] for row in Catalog.of(home).query("SELECT * FROM runs")} == {
        "dead": "crashed",
        "alive": "completed",
    }


def test_keys_do_not_depend_on_the_order_of_names():
    assert content_key({"a": 1, "b": [1, 2]}) == content_key(json.loads('{"b": [1, 2], "a": 1}')) != content_key({"a": 1, "b": [2, 1]})


def test_dropping_a_checkpoint_takes_what_killed_writers_left_and_minds_nobody_elses(home, monkeypatch):
    checkpoint, other = Checkpoint(home, "a"), Checkpoint(home, "b")
    for path in (checkpoint.path, checkpoint.path.with_suffix(".tmp-1"), other.path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*found(self, pattern), self / "renamed-meanwhile.tmp-2"])
    checkpoint.drop()
    monkeypatch.undo()
    assert list(checkpoint.path.parent.glob("*")) == [other.path]


def test_a_slow_reader_holds_up_no_writer_of_its_process_or_another(tmp_path):
    catalog, reading, done = Catalog(tmp_path / "c.duckdb"), threading.Event(), threading.Event()
    with catalog.write() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")

    def read() -> None:
        with catalog.read() as connection:
            reading.set()
            done.wait(30)
            seen.append(connection.execute("SELECT count(*) FROM t").fetchone())

    seen: list = []
    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(30)
    begun = time.monotonic()
    with catalog.write() as connection:
        connection.execute("INSERT INTO t VALUES (2)")
    other = "import sys; from pathlib import Path; from storage.catalog import Catalog\nwith Catalog(Path(sys.argv[1])).write() as c: c.execute('INSERT INTO t VALUES (3)')"
    subprocess.run([sys.executable, "-c", other, catalog.path], cwd=ROOT, check=True, timeout=30)
    assert time.monotonic() - begun < 20 and catalog.query("SELECT count(*) AS n FROM t") == [{"n": 3}]
    done.set()
    thread.join()
    assert seen == [(1,)] and [path.name for path in tmp_path.iterdir() if ".read" in path.name] == []
