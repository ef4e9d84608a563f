"""A statement that a person typed reads the catalog, the home's Parquet files and what was named, and nothing else."""

import hashlib
import os
from pathlib import Path

import duckdb
import pytest

from storage.catalog import Catalog
from storage.home import Home, StorageError
from storage.queries.sandbox import ask

SECRET = "canary-4711"
HOSTILE = {  # what is refused: by what its message says
    "SELECT * FROM read_csv('{canary}')": "read_csv",
    "SELECT * FROM read_text('/etc/passwd')": "read_text",
    "SELECT * FROM read_blob('{home}/warehouse.duckdb')": "read_blob",
    "FROM read_json('{canary}')": "read_json",
    "FROM READ_PARQUET('{home}/objects/a.parquet')": "read_parquet",
    "FROM parquet_scan(['{home}/objects/a.parquet', '{canary}'])": "parquet_scan",
    "FROM read_text('/etc/' || 'passwd')": "read_text",
    "FROM read_text((SELECT '{canary}'))": "read_text",
    "FROM sniff_csv('{canary}')": "sniff_csv",
    "FROM glob('/etc/*')": "glob",
    "FROM parquet_metadata('{home}/objects/a.parquet')": "parquet_metadata",
    "FROM '{canary}'": "canary.csv",
    "FROM '日本語.csv'": "日本語.csv",
    "FROM 'https://example.com/a.parquet'": "https://example.com",
    "DESCRIBE '{canary}'": "canary.csv",
    "SUMMARIZE FROM '{canary}'": "canary.csv",
    "FROM query('FROM read_text(''{canary}'')')": "read_text",
    "FROM query('COPY runs TO ''{out}''')": "COPY",
    "FROM query_table('{canary}')": "canary.csv",
    "WITH a AS (SELECT * FROM read_text('{canary}')) SELECT * FROM a": "read_text",
    "SELECT (SELECT content FROM read_text('{canary}'))": "read_text",
    "SELECT 1 UNION ALL SELECT 2 WHERE EXISTS (FROM read_text('{canary}'))": "read_text",
    "FROM read_duckdb('{home}/warehouse.duckdb')": "read_duckdb",
    "FROM json_execute_serialized_sql('x')": "json_execute_serialized_sql",
    "FROM pandas_scan(4711)": "pandas_scan",
    "FROM enable_logging(storage := 'file', storage_path := '{out}')": "enable_logging",
    "FROM enable_profiling()": "enable_profiling",
    "SELECT getenv('HOME')": "getenv",
    "SELECT write_log('x')": "write_log",
    "FROM duckdb_secrets()": "duckdb_secrets",
    "FROM local_variable": "local_variable",
    "FROM reaching": "passwd",
    "COPY runs TO '{out}'": "COPY",
    "COPY (SELECT 1) TO '{out}' (FORMAT parquet)": "COPY",
    "EXPORT DATABASE '{out}'": "EXPORT",
    "IMPORT DATABASE '{out}'": "schema.sql",
    "ATTACH '{out}' AS other": "ATTACH",
    "ATTACH ':memory:' AS other": "ATTACH",
    "DETACH warehouse": "DETACH",
    "INSTALL httpfs": "INSTALL",
    "LOAD '{out}'": "LOAD",
    "SET lock_configuration = false": "SET",
    "RESET memory_limit": "RESET",
    "PRAGMA database_list": "PRAGMA",
    "PRAGMA enable_profiling = 'json'": "PRAGMA",
    "CALL pragma_version()": "CALL",
    "CHECKPOINT": "CHECKPOINT",
    "VACUUM": "VACUUM",
    "USE memory": "USE",
    "BEGIN": "BEGIN",
    "PREPARE a AS SELECT 1": "PREPARE",
    "INSERT INTO runs SELECT * FROM runs": "INSERT",
    "UPDATE runs SET status = 'x'": "UPDATE",
    "/* SELECT */ DELETE FROM runs": "DELETE",
    "WITH a AS (SELECT 1) DELETE FROM runs": "DELETE",
    "DROP TABLE runs": "DROP",
    "CREATE TABLE x AS SELECT 1": "CREATE",
    "CREATE SECRET (TYPE s3)": "CREATE",
    "EXPLAIN ANALYZE COPY runs TO '{out}'": "COPY",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{canary}')": "read_text",
    "EXPLAIN (FORMAT json) DELETE FROM runs": "DELETE",
    "SELECT 1; DROP TABLE runs": "2 statements",
    "SELECT 1; SELECT 2": "2 statements",
    "-- nothing": "no statement",
}


def quoted(path: Path) -> str:
    return str(path).replace("'", "''")


@pytest.fixture(params=["home", "it's a home, 日本語"])
def filled(tmp_path, request) -> Home:
    """A home with a Parquet file and a view over it, and a view that reaches out of it; a canary lies beside it."""
    home = Home(tmp_path / request.param)
    home.objects.mkdir(parents=True)
    with Catalog.of(home).write() as connection:
        connection.execute(f"COPY (SELECT 7 AS figure) TO '{quoted(home.objects / 'a.parquet')}'")
        connection.execute(f"CREATE VIEW figures AS FROM read_parquet('{quoted(home.objects)}/*.parquet')")
        connection.execute("CREATE VIEW reaching AS FROM read_text('/etc/passwd')")
    (tmp_path / "canary.csv").write_text(f"word\n{SECRET}\n", encoding="utf-8")
    return home


def state_of(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_hostile_statements_are_refused_by_name_and_nothing_is_read_or_written(filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    local_variable = duckdb.sql("SELECT 1").arrow()  # a scan of Python's variables would find it
    assert local_variable
    ask(filled, "SELECT 1")
    before, wrong = state_of(tmp_path), {}
    for statement, said in HOSTILE.items():
        sql = statement.format(canary=quoted(tmp_path / "canary.csv"), home=quoted(filled.root), out=quoted(tmp_path / "out"))
        try:
            wrong[sql] = ask(filled, sql)
        except StorageError as error:
            if said not in str(error) or SECRET in str(error):
                wrong[sql] = str(error)
    assert wrong == {}
    assert state_of(tmp_path) == before


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 7 AS figure",
        "FROM figures",
        "VALUES (7)",
        "WITH a AS (FROM figures) SELECT * FROM a",
        "SELECT * FROM query('FROM figures')",
        "FROM query_table('figures')",
        "SELECT x FROM range(7, 8) t(x)",
        "SHOW TABLES",
        "DESCRIBE figures",
        "SUMMARIZE figures",
        "SHOW ALL TABLES",
        "EXPLAIN SELECT 1",
        "-- figures\nEXPLAIN ANALYZE FROM figures",
        "SELECT * FROM duckdb_tables()",
        "SELECT '/etc/passwd', 'read_text(1)' -- 日本語",
        "SELECT 1;",
    ],
)
def test_what_reads_the_catalog_is_answered_from_any_working_directory(filled, tmp_path, monkeypatch, statement):
    monkeypatch.chdir(tmp_path)
    assert ask(filled, statement)


def test_named_files_are_read_and_their_neighbours_are_not(filled, tmp_path, monkeypatch):
    folder = tmp_path / "read me, it's 資料"
    folder.mkdir()
    (folder / "a.csv").write_text("n\n1\n")
    (folder / "out.csv").symlink_to(tmp_path / "canary.csv")
    monkeypatch.chdir(folder)
    assert ask(filled, "FROM 'a.csv'", [Path("a.csv")]) == [{"n": 1}]
    assert ask(filled, f"FROM read_csv('{quoted(folder)}/a.csv')", [folder]) == [{"n": 1}]
    for name in ("../canary.csv", "out.csv", "*.csv", f"{quoted(folder)}/../canary.csv", quoted(filled.warehouse)):
        with pytest.raises(StorageError, match="refused: .*--files PATH"):
            ask(filled, f"FROM read_text('{name}')", [folder])
    with pytest.raises(StorageError, match=r"b\.csv.*no such file"):
        ask(filled, "SELECT 1", [Path("b.csv")])


def test_statements_without_an_end_are_ended(home):
    with pytest.raises(StorageError, match=r"longer than 0\.5 s"):
        ask(home, "SELECT count(*) FROM range(1000000) a, range(1000000) b", seconds=0.5)
    with pytest.raises(StorageError, match="more memory"):
        ask(home, "SELECT max(repeat('x', 4000000000) || i) FROM range(5) t(i)")
    with pytest.raises(StorageError, match="add a LIMIT"):
        ask(home, "FROM range(100000000)")


def test_a_statement_holds_no_lock_while_it_runs(home, monkeypatch):
    """A slow one would stop every writer, and with them the chat."""
    monkeypatch.setattr("storage.queries.sandbox._rows", lambda cursor: [_write(home), *cursor.fetchall()])
    assert ask(home, "SELECT 1") == [os.getpid(), (1,)]


def _write(home: Home) -> int:
    with Catalog.of(home).write() as connection:
        connection.execute("CREATE TABLE beside (i INTEGER)")
    return os.getpid()
