"""How a table of the catalog is declared: the names and types of its columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["VARCHAR", "JSON", "TIMESTAMP", "DOUBLE", "BIGINT", "INTEGER", "BOOLEAN", "VARCHAR[]"]


@dataclass(frozen=True)
class Table:
    """A table of the catalog."""

    columns: Mapping[str, ColumnType]
    required: tuple[str, ...] = ()  # no value of these may be missing
    filled: tuple[str, ...] = ()  # `registry.register` fills these for the rows of an artifact; () for tables that no artifact has rows for


OF_ARTIFACT = ("run_id", "artifact_id")
