"""A damaged catalog and a full disk are said in one message, and cost nothing of what was there."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys

import duckdb
import pytest

from flows.commands.main import COMMANDS, main
from flows.running.local import wait_for_server
from storage.catalog import Catalog, insert, utc_now
from storage.failures import disk_is_full
from storage.home import Home, StorageError

BLOCK = 262_144  # bytes of a block of DuckDB's
DAMAGES = {
    "cut short": lambda data: data[:5000],
    "half": lambda data: data[: len(data) // 2],
    "nothing": lambda data: b"",
    "random": lambda data: os.urandom(20_000),
    "random behind the head": lambda data: data[:4096] + os.urandom(len(data) - 4096),
    "text": lambda data: "これは台帳ではない".encode() * 1000,
    "blocks of rows": lambda data: data[:12_288] + bytes(255 - byte for byte in data[12_288 : 12_288 + BLOCK]) + data[12_288 + BLOCK :],
}


def run(monkeypatch, capsys, home: Home, *words: str) -> tuple[int, str, dict]:
    """What a command ends with: its exit code, what it says, and its JSON."""
    monkeypatch.setattr(sys, "argv", ["migaki", *words, "--json", "--home", str(home.root)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code, said.err, json.loads(said.out)


def filled(home: Home) -> bytes:
    with Catalog.of(home).write() as connection:
        rows = [{"run_id": "r", "name": f"n{i}", "step": i, "value": 1.0, "ts": utc_now()} for i in range(50_000)]
        insert(connection, "metrics", rows)
    return home.warehouse.read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_catalog_is_one_message(home, monkeypatch, capsys, damage):
    damaged = DAMAGES[damage](filled(home))
    home.warehouse.write_bytes(damaged)
    code, said, answer = run(monkeypatch, capsys, home, "sql", "SELECT count(DISTINCT name) FROM metrics")
    assert code == 1 and answer["status"] == "error" and "status --rebuild" in answer["message"]
    assert "warehouse.duckdb" in said and "Traceback" not in said and len(said.strip().splitlines()) == 1
    with pytest.raises(StorageError, match="status --rebuild"):
        Catalog.of(home).query("SELECT count(DISTINCT name) FROM metrics")
    assert home.warehouse.read_bytes() == damaged


def test_a_folder_in_the_place_of_the_catalog_or_its_lock(home, monkeypatch, capsys):
    home.warehouse.mkdir()
    assert run(monkeypatch, capsys, home, "status")[0] == 1
    home.warehouse.rmdir()
    lock = home.warehouse.with_name("warehouse.duckdb.lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    code, said, _ = run(monkeypatch, capsys, home, "status")
    assert code == 1 and "warehouse.duckdb.lock" in said


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        duckdb.IOException("IO Error: Could not write file: No space left on device"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_one_message_wherever_it_shows(home, monkeypatch, capsys, error):
    def fail(*_):
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("something else came of it") from cause

    monkeypatch.setitem(COMMANDS, "models", fail)
    code, said, answer = run(monkeypatch, capsys, home, "models")
    assert code == 1 and answer["status"] == "error" and "no space left" in answer["message"]
    assert len(said.strip().splitlines()) == 1 and str(home.root) in said


def test_other_errors_are_raised_as_they_are(home, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(COMMANDS, "models", fail)
    monkeypatch.setattr(sys, "argv", ["migaki", "models"])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main()
    assert not disk_is_full(None)


def test_a_write_to_a_full_disk_leaves_the_catalog(home, monkeypatch):
    before = filled(home)

    def no_room(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("storage.catalog.shutil.copyfile", no_room)
    with pytest.raises(StorageError, match="no space left .* catalog"), Catalog.of(home).write():
        pass
    assert home.warehouse.read_bytes() == before


def test_a_server_that_finds_no_room_is_a_full_disk(home, monkeypatch):
    monkeypatch.setattr("flows.running.local.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(StorageError, match="no space left"):
        wait_for_server(ended, 1, home.root / "server.log")
