"""The declared tables are those of the migrations, and what a stage records is checked against them."""

import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from storage.catalog import Catalog
from storage.home import Home, StorageError
from storage.rows import as_arrow, check_rows
from storage.tables import TABLES

STAGE = "the stage 'test'"
ANSWER = {"model": "base", "suite": "loss", "item_id": "1", "lang": "en"}


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    """Of every table that the migrations create: (type, whether a value is needed) by column."""
    rows = Catalog.of(Home(tmp_path_factory.mktemp("home"))).query(
        "SELECT table_name, column_name, data_type, is_nullable = 'NO' AND column_default IS NULL AS needed FROM information_schema.columns"
    )
    found = {}
    for row in rows:
        found.setdefault(row["table_name"], {})[row["column_name"]] = (row["data_type"], row["needed"])
    return found


def test_every_table_is_declared_as_the_migrations_create_it(columns):
    assert {name: dict(table.columns) for name, table in TABLES.items()} == {
        name: {column: kind for column, (kind, _) in own.items()} for name, own in columns.items()
    }


def test_the_columns_that_need_a_value_are_declared(columns):
    assert {name: set(table.required) for name, table in TABLES.items()} == {
        name: {column for column, (_, needed) in own.items() if needed} for name, own in columns.items()
    }


def test_columns_that_are_filled_exist():
    assert all(set(table.filled) <= set(table.columns) for table in TABLES.values())


@pytest.mark.parametrize("given", [list, pa.Table.from_pylist], ids=["dicts", "arrow"])
def test_rows_that_fit_come_back_as_arrow(given):
    rows = [ANSWER | {"loss": 1, "correct": None, "tokens": 3}, ANSWER | {"loss": 2, "correct": True, "tokens": None}]
    table = check_rows("evaluation_answers", given(rows), STAGE)
    assert table.to_pylist() == rows


def test_dicts_and_lists_become_json_and_missing_cells_null():
    rows = [ANSWER | {"sources": [{"document": "量子.md"}]}, ANSWER]
    assert check_rows("evaluation_answers", rows, STAGE)["sources"].to_pylist() == ['[{"document": "量子.md"}]', None]
    assert as_arrow([{"a": {"b": 1}}, {"c": 2}]).to_pylist() == [{"a": '{"b": 1}', "c": None}, {"a": None, "c": 2}]


def test_no_rows_need_no_columns():
    assert check_rows("metrics", [], STAGE).num_rows == 0


@pytest.mark.parametrize("given", [list, pa.Table.from_pylist], ids=["dicts", "arrow"])
@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("evaluation", ANSWER, r"the stage 'test' records .* 'evaluation'; did you mean 'evaluations'.*artifacts have rows for .*rollouts"),
        ("models", {"model_id": "m"}, "'models'; .*artifacts have rows for datasets, metrics"),
        (
            "evaluation_answers",
            ANSWER | {"answr": "x"},
            r"'answr' of the table 'evaluation_answers'; did you mean 'answer'.*it has model, suite",
        ),
        ("evaluation_answers", ANSWER | {"run_id": "r"}, "'run_id'.*filled when the artifact is registered"),
        ("evaluation_answers", ANSWER | {"loss": "1.5"}, "type string in the column 'loss'.*'1.5'.*DOUBLE and takes numbers"),
        ("evaluation_answers", ANSWER | {"loss": True}, "type bool in the column 'loss'"),
        ("evaluation_answers", ANSWER | {"tokens": 1.5}, "'tokens'.*BIGINT and takes whole numbers"),
        ("evaluation_answers", ANSWER | {"correct": 1}, "'correct'.*BOOLEAN and takes True or False"),
        ("evaluation_answers", ANSWER | {"answer": 1}, "'answer'.*VARCHAR and takes text"),
        ("evaluation_answers", ANSWER | {"sources": 1}, "'sources'.*JSON and takes dicts, lists"),
        ("metrics", {"name": "n", "step": 0, "ts": "2026-01-01"}, "'ts'.*TIMESTAMP and takes times in UTC without a zone"),
        ("metrics", {"name": "n", "step": 0, "ts": datetime.now(UTC)}, "'ts'.*TIMESTAMP"),
        ("evaluation_answers", ANSWER | {"model": None}, "without 'model'.*every row needs model, suite, item_id, lang"),
        ("evaluation_answers", {"model": "base"}, "without 'suite'"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(given, name, row, message):
    with pytest.raises(StorageError) as raised:
        check_rows(name, given([row]), STAGE)
    assert re.search(message, str(raised.value))


def test_a_column_of_several_kinds_is_named():
    with pytest.raises(StorageError, match="the stage 'test' records values of several kinds in the column 'loss'"):
        check_rows("evaluation_answers", [ANSWER | {"loss": 1.0}, ANSWER | {"loss": "x"}], STAGE)
