"""Tables as a whole."""

from typing import Any

from storage.catalog import Catalog
from storage.home import Home


def table_names(home: Home) -> list[str]:
    """The tables of the catalog, those that a user added among them, by name."""
    rows = Catalog.of(home).query("SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() ORDER BY table_name")
    return [row["table_name"] for row in rows]


def table_rows(home: Home, name: str) -> list[dict[str, Any]]:
    """All rows of a table, in an order that their contents decide."""
    return Catalog.of(home).query(f'SELECT * FROM "{name}" ORDER BY ALL')
