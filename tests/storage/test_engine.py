"""One engine for a process: files come and go, and what one of them has is not seen beside another."""

import subprocess
import sys
import threading

import duckdb
import pytest

from storage import engine
from storage.engine import attached
from tests import ROOT


def filled(path, value):
    with attached(path) as connection:
        connection.execute("CREATE TABLE facts (value INTEGER)")
        connection.execute("INSERT INTO facts VALUES (?)", [value])
    return path


def value_of(path):
    with attached(path, read_only=True) as connection:
        return connection.execute("SELECT value FROM facts").fetchone()[0]


def test_each_sees_its_own_file_and_leaves_it_free(tmp_path):
    one, two = filled(tmp_path / "a'b 日本.duckdb", 1), filled(tmp_path / "two.duckdb", 2)
    with attached(one, read_only=True) as first, attached(two, read_only=True) as second:
        assert [c.execute("SELECT value FROM facts").fetchall() for c in (first, second)] == [[(1,)], [(2,)]]
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            first.execute("INSERT INTO facts VALUES (3)")
    with duckdb.connect(str(one)) as other:  # another program writes, with nothing in its way
        other.execute("UPDATE facts SET value = 5")
    assert value_of(one) == 5


def test_what_was_not_committed_is_not_kept(tmp_path):
    path = filled(tmp_path / "one.duckdb", 1)
    with pytest.raises(ValueError, match="stop"), attached(path) as connection:
        connection.begin()
        connection.execute("UPDATE facts SET value = 2")
        raise ValueError("stop")
    assert value_of(path) == 1


def test_a_file_that_is_none_of_its_own_leaves_the_engine_as_it_is(tmp_path):
    (tmp_path / "text.duckdb").write_bytes(b"no database " * 999)
    path, before = filled(tmp_path / "one.duckdb", 1), engine._engines[0]
    with pytest.raises(duckdb.Error), attached(tmp_path / "text.duckdb"):
        pass
    assert value_of(path) == 1 and engine._engines == [before]


def test_an_engine_that_broke_is_started_anew(tmp_path):
    path, before = filled(tmp_path / "one.duckdb", 1), engine._engines[0]
    with pytest.raises(duckdb.FatalException), attached(path):
        raise duckdb.FatalException("the database has been invalidated")
    assert value_of(path) == 1 and engine._engines != [before]


def test_a_fork_has_an_engine_of_its_own(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from storage.engine import attached\n"
        "def read():\n"
        "    with attached(Path(sys.argv[1]), read_only=True) as connection:\n"
        "        print(connection.execute('SELECT value FROM facts').fetchone()[0], flush=True)\n"
        "read()\n"
        "if child := os.fork():\n"
        "    sys.exit(os.waitpid(child, 0)[1])\n"
        "read()\n"
        "os._exit(0)\n"  # as multiprocessing ends its children: one that ends otherwise aborts in DuckDB, whatever it did
    )
    path = filled(tmp_path / "one.duckdb", 7)
    ran = subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "7\n7\n"), ran.stderr


def test_threads_read_side_by_side(tmp_path):
    paths, wrong = [filled(tmp_path / f"{number}.duckdb", number) for number in range(8)], []

    def reads(number):
        wrong.extend(number for _ in range(10) if value_of(paths[number]) != number)

    threads = [threading.Thread(target=reads, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
