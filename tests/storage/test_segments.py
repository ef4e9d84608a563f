"""The cache on disk: what was put comes back, what is damaged does not, and several processes can use it at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import storage.segments
from storage.segments import MOST, Segments
from tests import ROOT


def key(i: int) -> bytes:
    return i.to_bytes(8, "big")


@pytest.fixture
def cache(tmp_path) -> Segments:
    return Segments(tmp_path / "cache", ("facts", "numbers"))


def test_what_was_put_comes_back_and_nothing_else(cache):
    assert cache.get([key(1)]) == {}
    cache.put({key(i): (f"fact {i}".encode(), bytes([i])) for i in range(5)})
    cache.put({key(7): (b"", b"\x00\xff")})
    assert cache.get([key(3), key(7), key(9)]) == {key(3): (b"fact 3", b"\x03"), key(7): (b"", b"\x00\xff")}
    assert cache.get([]) == {}
    cache.drop()
    assert cache.get([key(3)]) == {}


def test_a_damaged_segment_is_removed_and_never_believed(cache):
    cache.put({key(1): (b"first", b"")})
    damaged = next(cache.folder.glob("*.parquet"))
    cache.put({key(2): (b"second", b"")})
    data = bytearray(damaged.read_bytes())
    data[data.index(b"first")] ^= 1
    damaged.write_bytes(data)
    assert cache.get([key(1), key(2)]) == {key(2): (b"second", b"")}
    assert not damaged.exists()


def test_segments_of_other_columns_are_not_read(cache):
    cache.put({key(1): (b"a", b"b")})
    assert Segments(cache.folder, ("facts",)).get([key(1)]) == {}


def test_many_segments_become_one_without_what_was_long_unused(cache, monkeypatch):
    today = storage.segments._today()
    monkeypatch.setattr(storage.segments, "_today", lambda: today - 40)
    for i in range(MOST - 1):
        cache.put({key(i): (b"old", b"")})
    cache.merge()
    assert len(list(cache.folder.glob("*.parquet"))) == MOST - 1  # too few to bother
    monkeypatch.setattr(storage.segments, "_today", lambda: today)
    cache = Segments(cache.folder, cache.columns)
    cache.put({key(100): (b"new", b"")})
    cache.get([key(2), key(3), key(999)])
    cache.merge()
    assert len(list(cache.folder.glob("*.parquet"))) == 1
    assert set(cache.get([key(i) for i in range(200)])) == {key(2), key(3), key(100)}


def test_a_draft_that_gets_its_name_while_others_look_for_leftovers_is_no_error(cache, monkeypatch):
    found = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*found(self, pattern), self / "renamed-meanwhile.tmp"])
    cache.put({key(1): (b"a", b"b")})
    monkeypatch.undo()
    assert cache.get([key(1)]) == {key(1): (b"a", b"b")}


def test_leftovers_of_a_killed_writer_go_and_drafts_at_work_stay(cache):
    cache.put({key(1): (b"a", b"b")})
    old, young = cache.folder / "old.tmp", cache.folder / "young.tmp"
    old.write_bytes(b"half"), young.write_bytes(b"half")
    os.utime(old, (0, 0))
    cache.put({key(2): (b"a", b"b")})
    assert [path.name for path in cache.folder.glob("*.tmp")] == ["young.tmp"]


WRITER = """
import sys
from pathlib import Path
from storage.segments import Segments
cache, own = Segments(Path(sys.argv[1]), ("value",)), int(sys.argv[2])
for i in range(40):
    cache.put({b"%d-%d" % (own, i): (b"%d" % i,)})
    cache.merge()
    found = cache.get([b"%d-%d" % (other, n) for other in range(3) for n in range(40)])
    assert all(key.endswith(b"-" + value) for key, (value,) in found.items()), found
"""


def test_processes_write_merge_and_read_at_once(tmp_path):
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "c", str(own)], cwd=ROOT) for own in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = Segments(tmp_path / "c", ("value",)).get([b"%d-%d" % (own, i) for own in range(3) for i in range(40)])
    assert len(found) == 120  # merging lost nothing that was there
    assert not list((tmp_path / "c").glob("*.tmp"))
