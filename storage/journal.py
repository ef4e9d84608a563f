"""What was acknowledged and is not in the catalog yet, on the disk: an append-only journal of each process that keeps chats.

A record is durable when `sync` returns (write-ahead logging; many threads share one `fdatasync`, which is group commit: DeWitt et al. 1984). Its rows go
into the catalog in batches; the segment of a batch is removed when the batch is committed. What a killed process leaves is entered by whoever
comes next (`abandoned`). Rows have keys of their own, so that one that is in the catalog already is not entered twice.
"""

import json
import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from storage.home import Home
from storage.locks import try_lock

MAX_BYTES = 256 << 20  # of one process: no catalog is out of reach for so long
LOCK = "lock"


def folder(home: Home) -> Path:
    return home.root / "journal"


class Journal:
    """The journal of this process, in a folder of its own whose lock it holds. Safe to call from several threads at once."""

    def __init__(self, home: Home):
        self.path = folder(home) / uuid.uuid4().hex
        hidden = self.path.with_name(f".{self.path.name}")  # nobody may take it for abandoned before its lock is held
        hidden.mkdir(parents=True, mode=0o700)
        lock = try_lock(hidden / LOCK)
        assert lock is not None  # nobody knows its name
        self._lock_file = lock
        hidden.rename(self.path)
        self._writing, self._syncing = threading.Lock(), threading.Lock()
        self._segment, self._written, self._synced, self._bytes = 0, 0, 0, 0
        self._file = self._open()

    def write(self, record: Any) -> int:
        """Write a record of JSON; `sync` with the number given puts it on the disk.

        Raises:
            OSError: the disk is full, say, or the journal has grown too large; nothing of it is kept then.
        """
        line = _line(record)
        with self._writing:
            if self._bytes + len(line) > MAX_BYTES:
                raise OSError(f"the journal of chats has reached {MAX_BYTES:,} bytes: the catalog cannot be written")
            begun = os.fstat(self._file).st_size
            try:
                if os.write(self._file, line) != len(line):
                    raise OSError("the journal of chats could not be written to its end: the disk is full, or a limit is reached")
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file, begun)
                raise
            self._bytes += len(line)
            self._written += 1
            return self._written

    def sync(self, number: int) -> None:
        """Return when that record is on the disk. Raises OSError where it cannot be."""
        with self._syncing:  # who waited here often finds that it was done for them
            if self._synced >= number:
                return
            with self._writing:
                upto = self._written
            os.fdatasync(self._file)
            self._synced = upto

    def rotate(self) -> list[Path]:
        """Begin another segment; returns those before it, to be given to `drop` when their records are in the catalog. Raises OSError."""
        with self._syncing, self._writing:
            os.fdatasync(self._file)
            self._synced = self._written
            self._segment += 1
            old, self._file = self._file, self._open()
            os.close(old)
            return _segments(self.path)[:-1]

    def drop(self, segments: list[Path]) -> None:
        """Their records are in the catalog."""
        with self._writing:
            for segment in segments:
                self._bytes -= segment.stat().st_size
                segment.unlink()

    def close(self) -> None:
        """Let go of it; where records are left, the next process enters them."""
        os.close(self._file)
        if all(path.stat().st_size == 0 for path in _segments(self.path)):
            shutil.rmtree(self.path)
        os.close(self._lock_file)

    def _open(self) -> int:
        return os.open(self.path / f"{self._segment:09}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def abandoned(home: Home) -> Iterator[list[Any]]:
    """The records that processes which have ended left behind, in their order; they are removed at the end of a block that does not raise.

    What was being written when the process ended was never acknowledged, and is passed over.
    """
    held: list[tuple[Path, int]] = []
    try:
        for path in sorted(folder(home).glob("[0-9a-f]*")):
            with suppress(OSError):  # its owner has just removed it
                if (lock := try_lock(path / LOCK)) is not None:
                    held.append((path, lock))
        yield [record for path, _ in held for segment in _segments(path) for record in _records(segment.read_bytes())]
        for path, _ in held:
            shutil.rmtree(path, ignore_errors=True)
    finally:
        for _, lock in held:
            os.close(lock)


def _segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.log"))


def _line(record: Any) -> bytes:
    """A record on a line: length and CRC-32 of its JSON, then the JSON."""
    body = json.dumps(record, ensure_ascii=False, default=datetime.isoformat).encode()
    return b"%d %08x %s\n" % (len(body), zlib.crc32(body), body)


def _records(data: bytes) -> Iterator[Any]:
    """The records up to the first that is not whole."""
    for line in data.split(b"\n"):
        length, _, rest = line.partition(b" ")
        check, _, body = rest.partition(b" ")
        if not length.isdigit() or int(length) != len(body) or check != b"%08x" % zlib.crc32(body):
            return
        yield json.loads(body)
