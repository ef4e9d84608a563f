"""What a retraining run leaves on Prefect's page: text of people is text there."""

import re
from datetime import datetime

import pytest

from flows.running import shown
from flows.running.parameters import RunSettings
from flows.running.shown import cell_of, curves_of, lines_of, report_address, show_study, tables_of
from storage.artifacts import ArtifactRef
from storage.queries.studies import StudyFigure
from tasks.errors import MigakiError
from tasks.evaluation.facts import Facts, Figure, Gate, Stage

HEADLINES = [{"label": "loss", "before": 2.25, "after": 1.5}, {"label": "rows", "before": None, "after": 12}]
FACTS = Facts(
    "run-1",
    datetime(2026, 11, 30),
    "quick",
    "keep",
    "worse: [a](javascript:x) 損失",
    stages=[
        Stage("tune", "completed", 31.26, {"headlines": HEADLINES}, 62.5, 3.0 * 2**30),
        Stage("choose", "reused", 0.3, {"choice": {"because": "the tuned model goes on"}}),
    ],
    curves={"tune.loss": [(1, 2.0), (2, 1.5)]},
    figures=[
        Figure("base", "loss", "ja", 1.25, None, None, 8),
        Figure("release", "loss", "ja", 1.0, 0.9, 1.1, 8),
        Figure("base", "chat.correct", "all", 0.5, 0.25, 0.75, 8),
        Figure("release", "chat.correct", "all", 0.75, 0.5, 1.0, 8),
        Figure("release", "chat.<own>", "all", 1.0, None, None, 8),
    ],
    gate=Gate("chat.utility", -0.1, -0.2, -0.05, 40, 0.1, 60),
)


def test_its_tables_are_those_of_the_report():
    found = {key: table for key, _, table in tables_of(FACTS)}
    assert list(found) == ["stages", "figures", "chatbot", "gate"]
    assert found["stages"][1] == [
        ["tune", "completed", "31.3", "62.5", "3072", "loss", 2.25, 1.5],
        ["", "", "", "", "", "rows", None, 12],
        ["choose", "reused", "0.3", "", "", None, None, None],
    ]
    assert found["figures"] == (["figure", "language", "base", "release"], [["loss", "ja", "1.250", "1.000 (0.90 to 1.10)"]])
    assert [row[0] for row in found["chatbot"][1]] == ["answered correctly", "chat.<own>"]
    assert found["gate"][1] == [["chat.utility", -0.1, "-0.200 to -0.050", 40, 0.1, 60]]


def test_a_run_that_decided_nothing_has_no_gate_and_one_that_asked_nobody_no_chatbot():
    assert [key for key, _, _ in tables_of(Facts("run-1", datetime(2026, 11, 30), "quick", "keep", "unchanged"))] == ["stages", "figures"]


def test_the_reason_of_a_decision_is_text():
    title = next(title for key, title, _ in tables_of(FACTS) if key == "gate")
    assert "](" not in title and "損失" in title


def test_curves_are_images_that_need_no_network():
    assert re.fullmatch(r"!\[Instruction tuning\]\(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+\)", curves_of(FACTS))
    assert curves_of(Facts("run-1", datetime(2026, 11, 30), "quick", "keep", "")) == ""


def test_the_log_ends_as_the_command_does():
    assert list(lines_of(FACTS)) == [
        "tune: done, 31.3 s, loss: 2.250 -> 1.500",
        "choose: reused, 0.3 s",
        "choose: the tuned model goes on",
    ]


@pytest.mark.parametrize(("value", "words"), [(None, ""), (0.12345, "0.123"), (7, "7"), ("12 %", "12 %")])
def test_a_cell_in_words(value, words):
    assert cell_of(value) == words


@pytest.mark.parametrize("address", ["https://chat.example.org", "https://chat.example.org/"])
def test_the_report_is_on_the_chats_page(address):
    assert report_address(RunSettings(chat_address=address), "run-1") == "https://chat.example.org/report#run-1"


def test_an_address_is_a_link_and_nothing_else_whatever_it_holds():
    said = RunSettings(chat_address='http://[::1]:8400/a)![x](http://evil/y.png)<img src="z">'.replace(" ", "/"))
    shown = report_address(said, "run-1")
    assert shown == "http://[::1]:8400/a%29![x]%28http://evil/y.png%29%3Cimg/src=%22z%22%3E/report#run-1"


@pytest.mark.parametrize("address", ["", "chat.example.org", "javascript:alert(1)", "http://", "http://a b"])
def test_what_is_no_address_is_refused_with_the_setting(address):
    with pytest.raises(MigakiError, match=r"run\.chat_address"):
        RunSettings.build("run", {"chat_address": address})


def test_a_study_leaves_its_figures_and_its_page(home, monkeypatch):
    """As Markdown in which names are text."""
    made, lines = {}, []
    monkeypatch.setattr(shown, "create_markdown_artifact", lambda text, key, description: made.update({key: (description, text)}))
    monkeypatch.setattr(shown, "keep_study_page", lambda home, ref, study: lines.append(study))
    figures = [
        StudyFigure("[a](b)", "nll", "ja", 1.25, 1.0, 1.5, 8, ""),
        StudyFigure("lora", "nll", "ja", -0.25, -0.5, -0.125, 8, "full"),
        StudyFigure("lora", "trained parameters", "all", 294912.0, None, None, 0, ""),
    ]
    monkeypatch.setattr(shown, "figures_of_study", lambda home, artifact: figures)
    meta = {"study": "peft_study", "arms": ["full", "lora"], "items": 8, "winner": "lora", "because": "it is", "adopting": "migaki retrain"}
    show_study(home, ArtifactRef(kind="study", id="a" * 64, uri="u", meta=meta), lines.append)
    assert list(made) == ["figures", "differences", "arms"]
    assert "1\\.250 \\(1\\.000 to 1\\.500\\)" in made["figures"][1] and "[a](b)" not in made["figures"][1]
    assert "full" in made["differences"][0] and "294\\,912" in made["arms"][1]
    assert lines == ["peft_study", "it is", "nothing has changed; a release takes it up where the gate promotes it: migaki retrain"]
