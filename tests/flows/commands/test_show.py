"""What the command prints of strangers' text is that text: no markup of rich's, no orders to the terminal."""

import io
import json
import sys

import pytest

from flows.commands import show
from flows.commands.label import show as show_comparison
from flows.commands.main import main
from storage.catalog import Catalog
from storage.registry import begin_run, end_run
from tasks.rlhf.labelling import Comparison

STRANGE = "[red]題名[/red] [link=https://example.com]x :smile: \x1b[2J\x9b1m\x07\u202e終"
SHOWN = "[red]題名[/red] [link=https://example.com]x :smile: 1m終"


@pytest.fixture
def printed(monkeypatch):
    """What the commands have printed for people so far, as one line."""
    out = io.StringIO()
    monkeypatch.setattr(show.console, "_file", out)  # not `file`: giving that back would hold on to this test's stderr for good
    monkeypatch.setattr(show.console, "_width", 400)
    return lambda: " ".join(out.getvalue().split("\n"))


def test_tables_show_titles_as_they_are(printed):
    show.table(STRANGE, [STRANGE], [[STRANGE]])
    show.console.print(STRANGE)
    assert printed().count(SHOWN) == 4
    assert not set(printed()) & set("\x1b\x9b\x07\u202e")


def test_a_broken_closing_tag_is_no_error(printed):
    show.table("", ["title"], [["a [/] b [/red]"]])
    assert "a [/] b [/red]" in printed()


def test_the_catalogs_rows(home, printed):
    with Catalog.of(home).write() as connection:
        connection.execute("CREATE TABLE handbook (title VARCHAR)")
        connection.execute("INSERT INTO handbook VALUES (?)", [STRANGE])
    assert show.sql_table(home, "FROM handbook", [])["rows"] == [{"title": STRANGE}]
    assert SHOWN in printed()


def test_the_error_of_a_run(home, printed):
    begin_run(home, "r" * 8, "index")
    end_run(home, "r" * 8, "failed", error=STRANGE)
    show.status_tables(home)
    assert SHOWN in printed()


def test_errors_and_json_of_the_command(home, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["migaki", "sql", f"SELECT '{STRANGE}' AS t, nothing", "--json", "--home", str(home.root)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert json.loads(said.out)["status"] == "error"
    assert not set(said.err + said.out) & set("\x1b\x9b\x07\u202e")


def test_answers_that_are_compared():
    out = io.StringIO()
    show_comparison(Comparison([{"role": "user", "content": STRANGE}], (STRANGE, "b"), ("m1", "m2"), (0, 1)), 1, 1, out)
    assert out.getvalue().count(SHOWN) == 2 and "\x1b" not in out.getvalue()


def account(**changed) -> dict:
    return {
        "name": "i.jsonl",
        "kind": "instructions",
        "read": 9,
        "turns": 12,
        "formats": {"messages": 6, "alpaca": 1},
        "kept": {"train": 5, "eval": 1},
        "dropped": {"malformed": 1, "near duplicate": 2},
        "notes": {},
        "unread": {},
    } | changed


def test_the_table_of_files_says_what_came_of_each(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(show.console, "_file", out)
    monkeypatch.setattr(show.console, "_width", 100)
    files = [
        account(notes={"empty system turns left out": 2}, unread={"id": 6, STRANGE: 1}),
        account(name="東京支社お問い合わせ履歴_令和八年度下半期_最終版.csv", unread={f"column {i}": 1 for i in range(30)}, dropped={}),
        account(name="p.jsonl", kind="preferences", formats={"unpaired": 6}, turns=0),
    ]
    cells = ["7 %", "0 %", ""]
    assert show.file_table(files, "tokens cut", cells) == {
        "files": [file | {"tokens_cut": cell} for file, cell in zip(files, cells, strict=True)]
    }
    said = out.getvalue()
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in said.splitlines() if line.startswith("│")]
    first = lines[: next(i for i, line in enumerate(lines) if line[0].startswith("東京"))]
    assert (
        [line[1] for line in first][:3] == ["instructions", "6 messages", "1 alpaca"]
        and first[0][2:4] == ["9", "6"]
        and first[0][-2:] == ["12", "7 %"]
    )
    assert " ".join(filter(None, (line[4] for line in first))) == "2 near duplicate 1 malformed" and "6 id" in [line[5] for line in first]
    assert "and 22 more" in said and "i.jsonl: 2 rows: empty system turns left out" in said
    assert not set(said) & set("\x1b\x9b\x07\u202e") and lines[-2][-2:] == ["", ""]


def test_a_dataset_without_files_of_rows_has_no_table(printed):
    assert show.file_table([]) == {"files": []} and printed() == ""
