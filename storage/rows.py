"""Rows on their way into the catalog: as Arrow tables, checked against the columns of their table when a stage records them.

Without the check a misspelt column would be found only when the finished artifact is registered.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

import pyarrow as pa

from storage.home import StorageError
from storage.table import ColumnType, Table
from storage.tables import TABLES

Rows: TypeAlias = Sequence[Mapping[str, Any]] | pa.Table  # by column name; cells that are dicts or lists become JSON


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_texts(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and _is_text(kind.value_type))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_utc_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind)) and kind.tz is None


# What each type of column takes, in words and as a test of the Arrow type. DuckDB would take more, and convert it: text that looks like
# a number, or a time with a zone into the time of the machine.
ACCEPTED: Mapping[ColumnType, tuple[str, Callable[[pa.DataType], bool]]] = {
    "VARCHAR": ("text", _is_text),
    "JSON": ("dicts, lists or JSON text", _is_text),
    "TIMESTAMP": ("times in UTC without a zone", _is_utc_time),
    "DOUBLE": ("numbers", _is_number),
    "BIGINT": ("whole numbers", pa.types.is_integer),
    "INTEGER": ("whole numbers", pa.types.is_integer),
    "BOOLEAN": ("True or False", pa.types.is_boolean),
    "VARCHAR[]": ("lists of text", _is_texts),
}


def as_arrow(rows: Rows) -> pa.Table:
    """Rows as an Arrow table: a column for every name that occurs in one of them, with nulls where a row lacks it.

    Raises:
        pa.ArrowException: a column has values of several kinds.
    """
    return rows if isinstance(rows, pa.Table) else pa.table({name: _column(rows, name) for name in _names(rows)})


def check_rows(name: str, rows: Rows, origin: str) -> pa.Table:
    """The rows that an artifact is to bring into the table `name` as an Arrow table, once they are known to fit there.

    Args:
        origin: who records them, to begin a message with: "the stage 'tune'".

    Raises:
        StorageError: artifacts have no rows for such a table, it has no such column, or a column does not take such values.
    """
    table = _table_of_artifacts(name, origin)
    columns = {}
    for column in _names(rows):
        _require_column(name, column, origin)
        try:
            columns[column] = rows[column] if isinstance(rows, pa.Table) else _column(rows, column, TABLES[name].columns[column])
        except (pa.ArrowException, OverflowError) as error:
            raise StorageError(
                f"{origin} records values of several kinds in the column {column!r} of the table {name!r}: {error}"
            ) from error
        _require_type(name, column, columns[column], origin)
    for column in table.required:
        if column not in table.filled and len(rows) and (column not in columns or columns[column].null_count):
            raise StorageError(
                f"{origin} records rows without {column!r} for the table {name!r}; there, every row needs {_listed(table.required)}"
            )
    return as_arrow(rows) if isinstance(rows, pa.Table) else pa.table(columns)


def _table_of_artifacts(name: str, origin: str) -> Table:
    table = TABLES.get(name)
    if table is None or not table.filled:
        known = [own for own, table in TABLES.items() if table.filled]
        raise StorageError(f"{origin} records rows for the table {name!r}; {_nearest(name, known)}artifacts have rows for {_listed(known)}")
    return table


def _require_column(name: str, column: str, origin: str) -> None:
    table = TABLES[name]
    if column in table.filled:
        raise StorageError(f"{origin} records the column {column!r} of the table {name!r}; it is filled when the artifact is registered")
    if column not in table.columns:
        known = [own for own in table.columns if own not in table.filled]
        raise StorageError(
            f"{origin} records the column {column!r} of the table {name!r}; {_nearest(column, known)}it has {_listed(known)}"
        )


def _require_type(name: str, column: str, values: pa.Array | pa.ChunkedArray, origin: str) -> None:
    kind = TABLES[name].columns[column]
    words, accepts = ACCEPTED[kind]
    if not pa.types.is_null(values.type) and not accepts(values.type):
        raise StorageError(
            f"{origin} records values of type {values.type} in the column {column!r} of the table {name!r}, for instance "
            f"{_example(values)!r:.60}; the column is {kind} and takes {words}"
        )


def _names(rows: Rows) -> Iterable[str]:
    return rows.column_names if isinstance(rows, pa.Table) else dict.fromkeys(name for row in rows for name in row)


def _column(rows: Sequence[Mapping[str, Any]], name: str, kind: ColumnType | None = None) -> pa.Array:
    if kind == "VARCHAR[]":
        return pa.array([row.get(name) for row in rows], pa.list_(pa.string()))
    return pa.array([_cell(row.get(name)) for row in rows])


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _example(values: pa.Array | pa.ChunkedArray) -> Any:
    return next((value.as_py() for value in values if value.is_valid), None)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=2)
    return f"did you mean {' or '.join(repr(own) for own in near)}? " if near else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
