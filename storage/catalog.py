"""The DuckDB catalog, and the one door through which everything is read and written.

A write takes an exclusive lock on `<db>.lock` and a lock inside the process (one process cannot mix read-only and writing
connections), runs one transaction in a copy of the file, closes it and renames it over the original. A read opens the file as it
is, under a name of its own, and holds up nobody. No connection outlives its block: compute outside, then come here. DuckDB alone is not enough: several processes
that open, write and close one file lose rows, and a process killed while DuckDB folds its log into the file was seen to leave
a block whose checksum did not hold. A rename is whole or has not happened; copying 10 MB takes about 5 ms.
"""

import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from storage.engine import attached
from storage.failures import disk_is_full, of_catalog
from storage.home import Home, StorageError
from storage.locks import locked
from storage.rows import Rows, as_arrow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")
MIGRATIONS = Path(__file__).parent / "migrations"
JSON = {"json": True}  # metadata of a dataclass's field whose column holds JSON
_in_process = threading.RLock()


def utc_now() -> datetime:
    """Now, in UTC, without a time zone attached: the form of every TIMESTAMP in the catalog."""
    return datetime.now(UTC).replace(tzinfo=None)


def newest_migration() -> int:
    return max(int(path.name[:4]) for path in MIGRATIONS.glob("*.sql"))


class Catalog:
    """The catalog in one DuckDB file; made with all its tables when it is missing."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = path.with_name(path.name + ".lock")

    @classmethod
    def of(cls, home: Home) -> "Catalog":
        return cls(home.warehouse)

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StorageError: the file was written by a newer Migaki, is damaged or not a DuckDB file, or the disk is full.
        """
        with _in_process, of_catalog(self.path), locked(self._lock):
            draft = self._draft()
            try:
                with self._opened(draft) as connection:
                    self._migrate(connection)
                    connection.begin()
                    yield connection
                    connection.commit()
                    connection.execute("CHECKPOINT")  # leaving it to the end would do it too, but keep silent when the disk is full
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            os.replace(draft, self.path)

    def _draft(self) -> Path:
        """A copy of the catalog to write in; what a killed writer left of its own is dropped."""
        draft = self.path.with_name(self.path.name + ".draft")
        draft.unlink(missing_ok=True)
        _log_of(draft).unlink(missing_ok=True)
        if _log_of(self.path).exists():  # another program wrote to the catalog and was killed: fold its log in first
            with self._opened(self.path):
                pass
        if self.path.exists():
            shutil.copyfile(self.path, draft)
        return draft

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection; a file from before the newest tables gets them first. Raises what `write` raises."""
        if not self.path.exists() or _log_of(self.path).exists():
            self._bring_up_to_date()
        with of_catalog(self.path):
            with self._opened_to_read() as connection:
                if self._refuse_newer(connection) == newest_migration():
                    yield connection
                    return
            self._bring_up_to_date()
            with self._opened_to_read() as connection:
                yield connection

    def _bring_up_to_date(self) -> None:
        with self.write():
            pass

    @contextmanager
    def _opened_to_read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with ExitStack() as stack:
            with self._snapshot() as path:
                connection = stack.enter_context(self._opened(path, read_only=True))
            yield connection

    @contextmanager
    def _snapshot(self) -> Iterator[Path]:
        """The file as it is, under a name of its own while it is opened: writers put another file in its place, so who reads holds nobody up.

        The name must be one of its own, because DuckDB opens what has the same name in a process only once.
        """
        link = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:12]}.read")
        try:
            with locked(self._lock, shared=True):
                _link(self.path, link)
            yield link
        finally:
            link.unlink(missing_ok=True)  # what is open stays whole

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT as dictionaries."""
        with self.read() as connection:
            cursor = connection.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def select(self, row: type[R], source: str, parameters: Sequence[Any] = ()) -> list[R]:
        """Rows as instances of a dataclass, as `select` gives them. Raises what `read` raises."""
        with self.read() as connection:
            return select(connection, row, source, parameters)

    @contextmanager
    def _opened(self, path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(attached(path, read_only=read_only))
            except duckdb.Error as error:
                if disk_is_full(error):
                    raise
                raise StorageError(
                    f"the catalog {self.path.name!r} cannot be opened: {error}. Move it away and run `migaki status --rebuild` "
                    "to make it anew from the artifacts"
                ) from error
            yield connection

    def _version(self, connection: duckdb.DuckDBPyConnection) -> int:
        """The newest migration that the file has had; 0 for a new file."""
        if not connection.execute(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = 'schema_version'"
        ).fetchone():
            return 0
        newest = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        return int(newest[0]) if newest else 0

    def _refuse_newer(self, connection: duckdb.DuckDBPyConnection) -> int:
        version = self._version(connection)
        if version > newest_migration():
            raise StorageError(
                f"the catalog {self.path.name!r} has schema version {version}, this Migaki knows versions up to {newest_migration()}: update Migaki"
            )
        return version

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        version = self._refuse_newer(connection)
        for path in sorted(MIGRATIONS.glob("*.sql")):
            number = int(path.name[:4])
            if number <= version:
                continue
            connection.begin()
            connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied TIMESTAMP NOT NULL)")
            connection.execute(path.read_text(encoding="utf-8"))
            connection.execute("INSERT INTO schema_version VALUES (?, ?)", [number, utc_now()])
            connection.commit()


def select(connection: duckdb.DuckDBPyConnection, row: type[R], source: str, parameters: Sequence[Any] = ()) -> list[R]:
    """Rows as instances of a dataclass: its fields are the columns that are selected.

    Args:
        source: all of the SELECT that follows its columns, from `FROM` on.
    """
    columns = fields(row)
    names = ", ".join(f'"{column.name}"' for column in columns)
    return [
        row(*[json.loads(value) if column.metadata.get("json") else value for column, value in zip(columns, values, strict=True)])
        for values in connection.execute(f"SELECT {names} {source}", parameters).fetchall()
    ]


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Rows, **constants: str) -> int:
    """Insert rows by column name through Arrow; `constants` add a column of one value each. Columns not given are NULL. Returns the count."""
    incoming = as_arrow(rows)
    if not len(incoming):
        return 0
    for name, value in constants.items():
        incoming = incoming.append_column(name, pa.array([value] * len(incoming), pa.string()))
    columns = ", ".join(f'"{name}"' for name in incoming.column_names)
    connection.register("incoming_rows", incoming)
    connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM incoming_rows")
    connection.unregister("incoming_rows")
    return len(incoming)


def _link(path: Path, link: Path) -> None:
    """Another name for a file; a copy on a file system that has no second names."""
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)


def _log_of(database: Path) -> Path:
    return database.with_name(database.name + ".wal")
