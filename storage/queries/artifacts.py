"""What artifacts were made of, and the rows that they brought into the catalog."""

import json
from collections.abc import Sequence
from typing import Any

from storage.catalog import Catalog
from storage.home import Home


def settings_of(home: Home, artifact_id: str) -> dict[str, Any]:
    """The settings that it was made with; {} where the catalog does not know the artifact."""
    rows = Catalog.of(home).query("SELECT settings FROM artifacts WHERE artifact_id = ?", [artifact_id])
    return dict(json.loads(rows[0]["settings"])) if rows else {}


def inputs_of(home: Home, artifact_id: str) -> dict[str, str]:
    """The artifacts that it was made from, by role."""
    rows = Catalog.of(home).query("SELECT role, parent_id FROM lineage WHERE child_id = ?", [artifact_id])
    return {row["role"]: row["parent_id"] for row in rows}


def rows_of(home: Home, artifact_id: str, table: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The artifact's rows of a table, as they were inserted."""
    names = ", ".join(f'"{column}"' for column in columns)
    return Catalog.of(home).query(f"SELECT {names} FROM {table} WHERE artifact_id = ?", [artifact_id])
