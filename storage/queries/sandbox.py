"""A statement that a person typed: held to reading the catalog before it runs, and while it runs.

DuckDB's parser says what a statement is, and gives its tree: one SELECT passes, and no function in it that reads files, the
environment or secrets. The connection that it then runs on is read-only, may open nothing but the home's Parquet files, and
cannot be configured any more, so what the first wall does not know stops at the second. Files named beforehand may be read too.
"""

import glob
import json
import re
import resource
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psutil

from storage.catalog import Catalog
from storage.home import Home, StorageError
from storage.locks import locked

ACCEPTED = "one SELECT, SHOW, DESCRIBE or EXPLAIN statement is accepted"
SECONDS = 60.0  # that a statement may take
MEMORY = "2GB"  # that DuckDB may take for it; nothing is spilled to the disk
ADDRESS_SPACE = 4 << 30  # bytes that the process may take beside what it has: DuckDB does not count all it allocates
ROWS, CHARACTERS = 1_000_000, 256 << 20  # that an answer may have
# Functions in FROM that read the catalog or nothing; any other is refused.
TABLE_FUNCTIONS = frozenset(
    [
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_databases",
        "duckdb_functions",
        "duckdb_indexes",
        "duckdb_keywords",
        "duckdb_schemas",
        "duckdb_sequences",
        "duckdb_settings",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "generate_series",
        "histogram",
        "histogram_values",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_database_size",
        "pragma_show",
        "pragma_storage_info",
        "pragma_table_info",
        "pragma_version",
        "query",
        "query_table",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "unnest",
    ]
)
FILE_FUNCTIONS = frozenset(
    [
        "glob",
        "parquet_bloom_probe",
        "parquet_file_metadata",
        "parquet_full_metadata",
        "parquet_kv_metadata",
        "parquet_metadata",
        "parquet_scan",
        "parquet_schema",
        "read_blob",
        "read_csv",
        "read_csv_auto",
        "read_json",
        "read_json_auto",
        "read_json_objects",
        "read_json_objects_auto",
        "read_ndjson",
        "read_ndjson_auto",
        "read_ndjson_objects",
        "read_parquet",
        "read_text",
        "sniff_csv",
    ]
)
SCALARS_REFUSED = frozenset(["getenv", "nextval", "pg_sleep", "sleep_ms", "which_secret", "write_log"])
EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b)?(\s*\(\s*(?:FORMAT|ANALYZE)\b[^()';]*\))?", re.IGNORECASE)
Node = dict[str, Any]


def ask(home: Home, sql: str, files: Sequence[Path] = (), seconds: float = SECONDS) -> list[dict[str, Any]]:
    """The rows of a statement that only reads.

    Args:
        files: files and folders that the statement may read beside the catalog.
        seconds: after which the statement is ended.

    Raises:
        StorageError: the statement is refused, cannot be answered, or takes more than it may.
    """
    for path in files:
        if not path.exists():
            raise StorageError(f"--files {str(path)!r}: there is no such file or folder")
    allowed = sorted({form for path in files for form in (path.absolute(), path.resolve())})
    with _connection(home, allowed) as connection:
        try:
            statement = _checked(connection, sql, allowed)
            with _limits(connection, seconds):
                return _rows(connection.execute(statement))
        except duckdb.InterruptException:
            raise StorageError(f"the statement took longer than {seconds:g} s, and was ended: ask for less") from None
        except (MemoryError, duckdb.OutOfMemoryException) as error:
            raise StorageError(f"the statement needs more memory than a statement may take ({MEMORY}): ask for less") from error
        except duckdb.PermissionException as error:
            raise StorageError(
                f"refused: {_first_line(error)}; only the home's Parquet files and what --files names can be read"
            ) from error
        except duckdb.Error as error:
            raise StorageError(f"the catalog did not answer: {error}") from error


@contextmanager
def _connection(home: Home, allowed: list[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can do no more than read the catalog, the home's Parquet files and what is allowed. It holds no lock:
    writers put another file in the catalog's place, and the one that was opened stays as it is."""
    catalog = Catalog.of(home)
    with catalog.read():  # makes the catalog where there is none; says what ails a damaged one
        pass
    configuration: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
    }
    with locked(home.warehouse.with_name(home.warehouse.name + ".lock"), shared=True):
        connection = duckdb.connect(str(home.warehouse), read_only=True, config=configuration)
    try:
        folders = [home.objects, *(path for path in allowed if path.is_dir())]
        files = [path for path in allowed if not path.is_dir()]
        connection.execute(f"SET allowed_directories = {_texts(folders)}")
        connection.execute(f"SET allowed_paths = {_texts(files)}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _texts(paths: list[Path]) -> str:
    """Paths as a list of DuckDB's; SET takes no parameters."""
    return "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"


def _checked(connection: duckdb.DuckDBPyConnection, sql: str, allowed: list[Path]) -> str:
    """The statement as it may run. Raises StorageError with what is refused in it."""
    found = connection.extract_statements(sql)
    if not found:
        raise StorageError(f"refused: there is no statement; {ACCEPTED}")
    kinds = [statement.type.name for statement in found]
    if len(found) > 1:
        raise StorageError(f"refused: {len(found)} statements ({', '.join(kinds)}); {ACCEPTED}")
    if kinds[0] == "EXPLAIN":
        head = EXPLAIN.match(_without_comments(sql))
        if head is None:
            raise StorageError(f"refused: this form of EXPLAIN; {ACCEPTED}")
        return head.group() + " " + _checked(connection, _without_comments(sql)[head.end() :], allowed)
    if kinds[0] != "SELECT":
        word = re.match(r"\w*", _without_comments(sql).lstrip())
        raise StorageError(f"refused: {word.group().upper() if word else ''} is a statement of kind {kinds[0]}; {ACCEPTED}")
    row = connection.execute("SELECT json_serialize_sql(?, skip_empty := true, skip_null := true)", [sql]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree["error"]:
        raise StorageError(f"refused: PRAGMA; {ACCEPTED}")
    known = {name for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()}
    for node in _nodes(tree):
        _check_node(connection, node, known, allowed)
    return sql


def _without_comments(sql: str) -> str:
    """The statement without the comments that it begins with."""
    return re.sub(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", sql, flags=re.DOTALL)


def _nodes(tree: Any) -> Iterator[Node]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _check_node(connection: duckdb.DuckDBPyConnection, node: Node, known: set[str], allowed: list[Path]) -> None:
    """Raises StorageError where a part of a statement reads what it may not."""
    if node.get("type") == "TABLE_FUNCTION":
        _check_call(connection, node["function"], known, allowed)
    elif node.get("class") == "FUNCTION" and node["function_name"].lower() in SCALARS_REFUSED:
        raise StorageError(f"refused: the function {node['function_name']!r} does more than read the catalog; {ACCEPTED}")
    elif node.get("type") == "BASE_TABLE":
        _check_table(node.get("table_name", ""), known, allowed)


def _check_call(connection: duckdb.DuckDBPyConnection, call: Node, known: set[str], allowed: list[Path]) -> None:
    name = call.get("function_name", "").lower()
    if name in FILE_FUNCTIONS:
        for path in _literals(call, name)[:1]:
            _check_file(path, allowed, f"the function {name!r} reads files")
    elif name == "query":
        for text in _literals(call, name):
            _checked(connection, text, allowed)
    elif name == "query_table":
        for text in _literals(call, name):
            _check_table(text, known, allowed)
    elif name not in TABLE_FUNCTIONS:
        raise StorageError(f"refused: the function {name!r} does more than read the catalog; {ACCEPTED}")


def _literals(call: Node, name: str) -> list[str]:
    """The texts of a call's first argument, which is one text or a list of them."""
    first: Node = next(iter(call.get("children", [])), {})
    parts = first.get("children", []) if first.get("function_name") == "list_value" else [first]
    texts = [part.get("value", {}).get("value") if part.get("class") == "CONSTANT" else None for part in parts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise StorageError(
            f"refused: the first argument of {name!r} must be a text in quotes, or a list of them, so that it can be checked"
        )
    return [str(text) for text in texts]


def _check_table(name: str, known: set[str], allowed: list[Path]) -> None:
    if name not in known and re.search(r"[/\\.*]", name):
        _check_file(name, allowed, "a file in the place of a table")


def _check_file(name: str, allowed: list[Path], what: str) -> None:
    """Raises StorageError unless every file that a name or pattern stands for lies, links followed, in what --files names."""
    found = [Path(path).resolve() for path in glob.glob(name, recursive=True)] or [Path(name).resolve()]
    for path in found:
        if "://" in name or not any(path.is_relative_to(root) for root in allowed):
            raise StorageError(f"refused: {name!r}: {what}; name it with --files PATH to read it")


@contextmanager
def _limits(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Ends what runs on a connection after so many seconds, and holds the process to `ADDRESS_SPACE` more bytes than it has."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = psutil.Process().memory_info().vms + ADDRESS_SPACE
    tighter = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *tighter]), hard))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _rows(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    rows: list[dict[str, Any]] = []
    characters = 0
    while block := cursor.fetchmany(1000):
        rows += [dict(zip(names, row, strict=True)) for row in block]
        characters += sum(len(value) for row in block for value in row if isinstance(value, str | bytes))
        if len(rows) > ROWS or characters > CHARACTERS:
            raise StorageError(f"the answer has more than {ROWS:,} rows or {CHARACTERS:,} characters: add a LIMIT, or select fewer columns")
    return rows


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
