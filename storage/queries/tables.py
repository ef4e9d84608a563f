"""Tables as a whole, and what a user asks in SQL."""

from typing import Any

import duckdb

from storage.catalog import Catalog
from storage.home import Home, StorageError


def table_names(home: Home) -> list[str]:
    """The tables of the catalog, those that a user added among them, by name."""
    rows = Catalog.of(home).query("SELECT table_name FROM information_schema.tables ORDER BY table_name")
    return [row["table_name"] for row in rows]


def table_rows(home: Home, name: str) -> list[dict[str, Any]]:
    """All rows of a table, in an order that their contents decide."""
    return Catalog.of(home).query(f'SELECT * FROM "{name}" ORDER BY ALL')


def answer(home: Home, sql: str) -> list[dict[str, Any]]:
    """The rows of a user's own query.

    Raises:
        StorageError: it is no SELECT that the catalog can answer.
    """
    try:
        return Catalog.of(home).query(sql)
    except duckdb.Error as error:
        raise StorageError(f"the catalog did not answer: {error}") from error
