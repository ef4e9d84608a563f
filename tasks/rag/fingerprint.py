"""What the documents hold that the settings of index name, tables of the catalog included: enters the key in place of their places."""

from typing import Any

from storage.artifacts import content_key
from storage.home import Home
from storage.queries.tables import table_names, table_rows
from storage.tables import TABLES
from tasks.documents.finding import find_documents, split_columns
from tasks.documents.parsed import Parsed, Unreadable
from tasks.documents.rows import Columns, row_documents
from tasks.errors import MigakiError
from tasks.rag.settings import IndexSettings

TABLE = "table:"


def named_documents(settings: IndexSettings) -> list[Any]:
    """What the documents named in the settings hold, for the key."""
    files = find_documents([spec for spec in settings.documents if not spec.startswith(TABLE)], settings.follow_links)
    tables = [spec for spec in settings.documents if spec.startswith(TABLE)]
    rows = {spec: content_key([[name, str(found)] for name, found in table_documents(spec, Home.current())]) for spec in tables}
    return [{file.name: file.digest() for file in files}, rows] if settings.documents else []


def table_documents(spec: str, home: Home) -> list[tuple[str, Parsed | Unreadable]]:
    """The documents in a table of the catalog, one a row; `table:NAME#text=COLUMN` says which columns hold what.

    Raises:
        MigakiError: there is no such table, it is one of Migaki's own, or the columns are said in another form.
    """
    place, columns = split_columns(spec)
    table, tables = place.removeprefix(TABLE), [name for name in table_names(home) if name not in TABLES]
    if table in TABLES:  # what people said, for one, and texts that not everybody may see
        raise MigakiError(f"index.documents: {table!r} is a table of Migaki's own, which nobody could be kept from; name one of yours")
    if table not in tables:
        raise MigakiError(f"index.documents: the catalog has no table {table!r}; of yours it has {', '.join(tables) or 'none'}")
    return list(row_documents(place, table_rows(home, table), Columns.of(columns)))
