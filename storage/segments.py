"""A cache on disk of values by key, in files that are written once and never changed.

A segment's name is the SHA-256 of its bytes, so a damaged one is told when it is read: it is removed, and what it held is worked out anew.
Segments appear by a rename. Several processes may read and write at once: the worst that comes of it is a value kept twice,
until the segments are merged.
"""

import hashlib
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.files import replacing
from storage.locks import try_lock

MOST = 8  # segments, from which they are merged into one
KEPT_DAYS = 30  # of values that nobody asked for
Value = tuple[bytes, ...]


class Segments:
    """A folder of segments. Each value is one string of bytes for each of `columns`."""

    def __init__(self, folder: Path, columns: tuple[str, ...]):
        self.folder, self.columns = folder, columns
        self._used: set[bytes] = set()
        self._schema = pa.schema([("key", pa.binary()), ("day", pa.int32()), *((name, pa.large_binary()) for name in columns)])

    def get(self, keys: Collection[bytes]) -> dict[bytes, Value]:
        """The values that are there, by key."""
        self._used.update(keys)
        wanted = pa.array(set(keys), pa.binary())
        values: dict[bytes, Value] = {}
        for path in self._paths():
            if (table := self._read(path)) is not None:
                part = table.filter(pc.is_in(table["key"], value_set=wanted))
                rows = zip(*(part[name].to_pylist() for name in self.columns), strict=True)
                values.update(zip(part["key"].to_pylist(), rows, strict=True))
        return values

    def put(self, values: Mapping[bytes, Value]) -> None:
        """Keep values, in a new segment."""
        if values:
            self._used.update(values)
            columns = [pa.array(column, pa.large_binary()) for column in zip(*values.values(), strict=True)]
            keys, days = pa.array(list(values), pa.binary()), pa.array([_today()] * len(values), pa.int32())
            self._write(pa.table([keys, days, *columns], schema=self._schema))

    def merge(self) -> None:
        """Put many segments together as one, without what was neither put nor asked for here, nor when they were last put together, for a month.

        Left to another process where one is at it.
        """
        paths = self._paths()
        if len(paths) < MOST or (lock := try_lock(self.folder / ".lock")) is None:
            return
        try:
            tables = [table for path in paths if (table := self._read(path)) is not None]
            table = pa.concat_tables([self._schema.empty_table(), *tables])
            in_use = pc.is_in(table["key"], value_set=pa.array(self._used, pa.binary()))
            table = table.set_column(1, "day", pc.if_else(in_use, pa.scalar(_today(), pa.int32()), table["day"]))
            table = table.filter(pc.greater_equal(table["day"], _today() - KEPT_DAYS))
            newest = {key: row for row, key in enumerate(table["key"].to_pylist())}
            merged = self._write(table.take(pa.array(newest.values(), pa.int64())))
            for path in paths:
                if path != merged:
                    path.unlink(missing_ok=True)
        finally:
            os.close(lock)

    def drop(self) -> None:
        """Forget everything."""
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"), key=lambda path: path.name)

    def _read(self, path: Path) -> pa.Table | None:
        """A segment's rows; None, and the segment is removed, where it is not what was written. None too when another process merged it away."""
        try:
            # Into memory of Arrow's: a thread of its that gives Python's back while Python ends would abort the process.
            with pa.OSFile(str(path)) as file:
                data = file.read_buffer()
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() == path.stem:
            with suppress(pa.ArrowException):  # a segment of another shape: written by another version of Migaki
                table = pq.read_table(pa.BufferReader(data))
                if table.schema.equals(self._schema):
                    return table
        path.unlink(missing_ok=True)
        return None

    def _write(self, table: pa.Table) -> Path:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
        data = sink.getvalue()
        path = self.folder / f"{hashlib.sha256(data).hexdigest()}.parquet"
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob("*.tmp"):
            with suppress(FileNotFoundError):  # a living writer's, renamed meanwhile; a killed one's stays
                if leftover.stat().st_mtime < time.time() - 3600:
                    leftover.unlink()
        with replacing(path) as draft:
            draft.write_bytes(data)
        return path


def _today() -> int:
    return int(time.time() // 86400)
