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
