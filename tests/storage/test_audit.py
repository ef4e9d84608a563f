"""The table `audit`: every act is in it with who, when and why, and nothing takes an entry back."""

import os
import pwd
import re
from datetime import timedelta

from storage import chat_log
from storage.audit import Entry, Who, entries, note, note_state, system_user
from storage.catalog import Catalog, utc_now
from storage.chat_log import Conversation
from storage.chats import delete_conversation
from storage.prune import prune
from storage.releases import crown_first
from tests import ROOT
from tests.helpers.releases import decide, kept, made, part
from tests.helpers.turns import turn

ANN = Who("Ann <b>安</b>", "page")


def said(home) -> list[tuple]:
    return [(one.who, one.via, one.action, one.subject) for one in reversed(entries(home))]


def test_every_decision_is_entered_with_the_reason(home):
    first, second = made(home, "model001").id, made(home, "model002").id
    crown_first(home, first)
    for decision in ("keep", "inconclusive", "promote"):
        decide(home, second, decision, f"why {decision}", run_id="run1")
    assert said(home) == [
        ("migaki", "clock", "promote", first),
        ("the gate", "run", "keep", second),
        ("the gate", "run", "inconclusive", second),
        ("the gate", "run", "promote", second),
    ]
    last = entries(home)[0]
    assert last.why == "why promote" and last.detail["run"] == "run1" and last.detail["champion_before"] == first


def test_what_is_deleted_leaves_who_deleted_it_and_none_of_its_text(home):
    talk = chat_log.begin_conversation(home, Conversation("m", "i", "web", owner="ann"))
    chat_log.keep_turn(home, talk, turn("t1", question="my secret"))
    delete_conversation(home, talk, "ann", ANN)
    assert said(home) == [(ANN.name, "page", "delete conversation", talk)]
    assert "secret" not in str(Catalog.of(home).query("SELECT * FROM audit"))


def test_prune_is_entered_with_what_went(home):
    old = part(home, "old00001", "dataset", {})
    assert [one.ref.id for one in prune(home, 0)] == [old.id]
    assert prune(home, 0) == []
    (entry,) = entries(home)
    assert (entry.who, entry.action, entry.detail["artifacts"]) == (system_user().name, "prune", [{"kind": "dataset", "id": old.id}])


def test_the_name_is_the_systems_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setenv("USER", "somebody")
    assert system_user() == Who(pwd.getpwuid(os.getuid()).pw_name, "command")

    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr("storage.audit.pwd.getpwuid", unknown)
    assert system_user("server") == Who(f"user {os.getuid()}", "server")


def test_entries_from_a_time_on(home):
    with Catalog.of(home).write() as connection:
        note(connection, ANN, "act", "x", "because", {"n": 1})
    (entry,) = entries(home, utc_now() - timedelta(minutes=1))
    assert entry == Entry(entry.audit_id, entry.ts, ANN.name, "page", "act", "x", "because", {"n": 1})
    assert entries(home, utc_now() + timedelta(minutes=1)) == []


def test_a_state_is_entered_as_what_came_changed_and_went(home):
    who = Who("root", "server")

    def now(**things):
        return note_state(home, who, "token", "tokens", things)

    assert now(ann={"role": "admin"}, bob={"role": "reader"}) == ["token added", "token added"]
    assert now(ann={"role": "admin"}, bob={"role": "reader"}) == []
    assert now(ann={"role": "reader"}, cleo={}) == ["token added", "token changed", "token removed"]
    assert entries(home)[1].detail == {"name": "ann", "role": "reader", "before": {"name": "ann", "role": "admin"}}
    assert now(ann={"role": "reader"}, cleo={}) == []
    assert now(ann={"role": "reader"}, bob={}) == ["token added", "token removed"]
    assert note_state(home, who, "token", "others", {}) == []


def test_no_code_changes_or_removes_an_entry():
    sources = [
        path.read_text(encoding="utf-8")
        for top in ("flows", "tasks", "storage")
        for path in (ROOT / top).rglob("*.*")
        if path.suffix in (".py", ".sql")
    ]
    found = [
        line for text in sources for line in re.findall(r"(?i)(?:UPDATE|DELETE FROM|TRUNCATE|DROP TABLE|ALTER TABLE)\s+audit\b.*", text)
    ]
    assert found == []


def test_the_model_of_a_release_that_went_is_told_with_the_release(home):
    serves = kept(home, part(home, "model001", "model", {"precision": "fp32"}).id)
    decide(home, serves)
    gone = kept(home, part(home, "model002", "model", {"precision": "fp32"}).id, run_id="other")
    prune(home, 0)
    assert {one["id"] for one in entries(home)[0].detail["artifacts"]} == {"model002", gone}
