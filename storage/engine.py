"""DuckDB's engine, started once in a process, and the files that are attached to it for a while.

An engine that starts for each file takes several times as long as one that is there already, and a retrain opens the catalog about a hundred times.
"""

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

_guard = threading.Lock()
_numbers = itertools.count()
_engines: list[duckdb.DuckDBPyConnection] = []  # the one, once it is wanted


@contextmanager
def attached(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose tables are those of one file, which nothing holds open afterwards. A transaction that is left open is rolled back.

    Raises:
        duckdb.Error: the file cannot be opened, is none of DuckDB's or is damaged.
    """
    (engine, connection), name = _connected(), f"file_{next(_numbers)}"
    try:
        quoted = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS {name} (TYPE duckdb{', READ_ONLY' if read_only else ''})")
        connection.execute(f"USE {name}")
        yield connection
    except (duckdb.FatalException, duckdb.InternalException):
        _forget(engine)  # it answers nothing any more, whatever the file
        raise
    finally:
        _detach(engine, connection, name)


def _connected() -> tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection]:
    """(the engine, a connection to it), which a fork in another thread does not end in between."""
    with _guard:
        if not _engines:
            _engines.append(duckdb.connect())
        return _engines[0], _engines[0].cursor()


def _detach(engine: duckdb.DuckDBPyConnection, connection: duckdb.DuckDBPyConnection, name: str) -> None:
    try:
        with suppress(duckdb.TransactionException):  # none was begun
            connection.rollback()
        connection.execute("USE memory")
        connection.execute(f"DETACH DATABASE IF EXISTS {name}")
    except duckdb.Error:
        _forget(engine)  # the file goes with it
    finally:
        connection.close()


def _forget(engine: duckdb.DuckDBPyConnection) -> None:
    with _guard:
        if engine in _engines:
            _engines.remove(engine)


def _end() -> None:
    """End the engine before a fork, which would inherit it without its threads."""
    _guard.acquire()
    for engine in _engines:
        engine.close()
    _engines.clear()


os.register_at_fork(before=_end, after_in_parent=_guard.release, after_in_child=_guard.release)
