"""`migaki questions add`: a rated answer becomes an item, and what must not leave the chats does not."""

import io
import json
import sys

import pytest

from flows.commands import main as command_line
from flows.commands.questions import check
from flows.commands.rated import add
from storage import chat_log, chats
from storage.chat_log import Conversation, SafetyDecision
from tasks.errors import MigakiError
from tests.helpers.project import ServedProject
from tests.helpers.turns import turn

KILN = "The kiln burns at 1,280 degrees. It was built in 1931."
SECRET = (
    "---\nallowed: [board]\n---\nThe bonus of the founder is 9,400 silver coins a year, paid on the longest day of the summer season.\n"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = ServedProject(tmp_path_factory.mktemp("served"))
    for name, text in {
        "kiln.md": f"# Kiln\n\n{KILN}",
        "oven.md": "# Oven\n\nLike the kiln, it reaches 1280 degrees.",
        "bonus.md": SECRET,
    }.items():
        (project.docs / name).write_text(text, encoding="utf-8")
    project.serve()
    return project


def source(document: str, **facts) -> dict:
    known = {
        "number": 1,
        "chunk_id": "c",
        "document": document,
        "title": document,
        "heading": "",
        "text": KILN,
        "lang": "en",
        "score": 1.0,
        "page": None,
    }
    return known | facts


def talk(project, *turns: tuple) -> str:
    """A conversation of (question, answer, rating, correction, facts of the turn)."""
    name = chat_log.begin_conversation(project.home, Conversation("m", "i", "web", "ann"))
    for number, (question, answer, rating, correction, *facts) in enumerate(turns):
        known = {"lang": "en", "sentences": [], "calls": [], "sources": [source("kiln.md")]} | (facts[0] if facts else {})
        chat_log.keep_turn(project.home, name, turn(f"{name}-{number}", question, answer, **known))
        if rating or correction:
            chats.rate(project.home, f"{name}-{number}", "ann", rating, correction)
    return name


def test_an_item_is_made_of_what_was_asked_corrected_and_shown(project, tmp_path):
    shown = {"sources": [source("cat.md"), source("kiln.md"), source("oven.md"), source("bonus.md")]}
    name = talk(project, ("Hello", "Hello!", 0, None), ("How hot is the kiln of a@b.org?", "Cold.", -1, "At 1,280 degrees.", shown))
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "Who?", "answer": "Me."}', encoding="utf-8")  # without an end of the line
    out = io.StringIO()
    made = add(project.home, file, name, None, ["1280"], "", out)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 and json.loads(lines[1]) == made["item"] and "without what was said before it" in out.getvalue()
    item = made["item"]
    assert "a@b.org" not in item["question"] and item["question"].startswith("How hot is the kiln of ")
    assert {name: item[name] for name in item if name != "question"} == {
        "answer": "At 1,280 degrees.",
        "accept": ["1280"],
        "document": "kiln.md",
        "evidence": ["The kiln burns at 1,280 degrees."],
        "also": ["oven.md"],
    }
    assert check([str(file)], [str(project.docs)], out)["faults"] == []
    with pytest.raises(MigakiError, match="already"):
        add(project.home, file, name, 2, ["1280"], "", out)


def test_a_liked_answer_is_the_answer_and_a_disliked_one_leaves_what_is_accepted(project, tmp_path):
    name = talk(project, ("How hot is it?", "It burns at 1,280 degrees.", 1, None), ("When was the kiln built?", "In 1830.", -1, None))
    answers = [
        add(project.home, tmp_path / "q.jsonl", name, turn, accept, "", io.StringIO())["item"]["answer"]
        for turn, accept in ((1, ["1280"]), (2, ["1931"]))
    ]
    assert answers == ["It burns at 1,280 degrees.", "1931"]


@pytest.mark.parametrize(
    ("turns", "wanted", "accept", "document", "words"),
    [
        ([("Hot?", "So.", 0, None)], None, ["1280"], "", "no answer of a conversation .* was rated"),
        ([("Hot?", "1280", 1, None), ("Old?", "1931", 1, None)], None, ["1280"], "", r"1, 2; name one with --turn"),
        ([("Hot?", "1280", 1, None), ("Old?", "1931", 0, None)], 2, ["1931"], "", "turn 2 .* was not rated; rated were 1"),
        ([("Hot?", "1280", 1, None)], None, ["..."], "kiln.md", "nothing is left without punctuation"),
        (
            [("Hot?", "1280", 1, None)],
            None,
            ["42 strings"],
            "",
            r"none of the documents shown with the answer \(kiln\.md\) holds '42 strings'",
        ),
        ([("Hot?", "1280", 1, None)], None, ["1280"], "gone.md", "'gone.md' is not in the index"),
        ([("Hot?", "Yes.", 1, None)], None, ["1280"], "", "the answer 'Yes.' has no string of accept"),
        ([("Hot?", "1280", 1, None)], None, ["1280"], "cat.md", "accept '1280' stands nowhere in 'cat.md'"),
        ([("Bonus?", "9,400", 1, None)], None, ["9400"], "bonus.md", "'bonus.md' is not in the index that serves, or not for everybody"),
        (
            [("Hot?", "1280", 1, None, {"sources": [source("kiln.md", restricted=True)]})],
            None,
            ["1280"],
            "",
            "stays in the chats: restricted source",
        ),
        (
            [("Hot?", "1280", 1, None, {"sources": [source("bonus.md", text=SECRET)]})],
            None,
            ["1280"],
            "kiln.md",
            "stays in the chats: restricted source",
        ),
        (
            [("Hot?", "The bonus of the founder is 9,400 silver coins a year, paid on the longest day of the summer season.", 1, None)],
            None,
            ["1280"],
            "",
            "stays in the chats: quotes a restricted source",
        ),
    ],
)
def test_what_cannot_or_must_not_be_an_item_is_refused_and_nothing_written(project, tmp_path, turns, wanted, accept, document, words):
    with pytest.raises(MigakiError, match=words):
        add(project.home, tmp_path / "q.jsonl", talk(project, *turns), wanted, accept, document, io.StringIO())
    assert not (tmp_path / "q.jsonl").exists()


def test_what_the_filters_blocked_stays(project, tmp_path):
    name = talk(project, ("Hot?", "1280", 1, None))
    chat_log.keep_decisions(project.home, [SafetyDecision(f"{name}-0", "document", "injection.orders", False, 1.0, "en")])
    with pytest.raises(MigakiError, match="stays in the chats: injection"):
        add(project.home, tmp_path / "q.jsonl", name, None, ["1280"], "", io.StringIO())
    with pytest.raises(MigakiError, match=r"ends in \.jsonl"):
        add(project.home, tmp_path / "q.csv", name, None, ["1280"], "", io.StringIO())


def test_the_command(project, tmp_path, monkeypatch, capsys):
    name, file = talk(project, ("When was the kiln built?", "In 1931.", 1, None)), str(tmp_path / "q.jsonl")
    words = [
        "questions",
        "add",
        "--conversation",
        name,
        "--accept",
        "1931",
        "--accept",
        "the thirties",
        file,
        "--json",
        "--home",
        str(project.home.root),
    ]
    monkeypatch.setattr(sys, "argv", ["migaki", *words])
    with pytest.raises(SystemExit, match="0"):
        command_line.main()
    assert json.loads(capsys.readouterr().out)["item"]["accept"] == ["1931", "the thirties"]
    monkeypatch.setattr(sys, "argv", ["migaki", "questions", "add", file, "--home", str(project.home.root)])
    with pytest.raises(SystemExit):
        command_line.main()
    assert "--conversation ID, --accept TEXT" in capsys.readouterr().err
