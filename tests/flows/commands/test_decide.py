"""`migaki promote` by a person and `migaki audit`, from the command line."""

import getpass
import json
import sys

import pytest

from flows.commands import platform
from flows.commands.audit import audit
from flows.commands.main import main
from flows.running.gate import gate
from flows.running.releases import promote_to
from storage.approvals import pending
from storage.artifacts import ArtifactStore
from storage.audit import entries, note_state, system_user
from storage.registry import set_champion_index
from storage.releases import champion_release
from tasks.evaluation.settings import PromoteSettings
from tests.helpers.chat_rows import questions
from tests.helpers.releases import made, part

BETTER = [*questions("champion", 20, 20), *questions("release", 36, 4)]


@pytest.fixture
def waiting(home):
    """A home whose gate has left a release to a person; (home, id of the champion, id of the release)."""
    part(home, "index001", "index", {"documents": 1}, indexes=[{"documents": 1, "chunks": 1, "skipped": 0, "stage": "candidate"}])
    set_champion_index(home, "index001")
    before, release = made(home, "model001"), made(home, "model002")
    promote_to(home, before.id)
    rows = [
        row | {"prompt": "窯の\x1b[31m温度は?" if row["item_id"] == "q30" else row["item_id"], "reference": "[bold]1200"} for row in BETTER
    ]
    meta = {"models": {}, "releases": {"release": release.id, "champion": before.id}}
    asked = part(home, "eval0001", "evaluation", meta, inputs={"index": "index001"}, evaluation_answers=rows)
    decision = gate(PromoteSettings(approval="always", approval_days=3), home, release, asked, "run1")
    assert (decision.decision, decision.would) == ("pending", "promote")
    return home, before.id, release.id


@pytest.fixture
def migaki(waiting, monkeypatch, capsys):
    """Runs the command; gives its exit code, the last line of JSON, and what a person reads."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["migaki", *words, "--json", "--home", str(waiting[0].root)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, json.loads(said.out.strip().splitlines()[-1]), said.err

    return run


def test_what_waits_is_shown_with_what_it_rests_on(waiting, migaki):
    home, before, release = waiting
    one = pending(home)[0]
    assert one.index_id == "index001" and (one.expires - one.ts).total_seconds() == pytest.approx(3 * 86400, abs=60)
    code, told, said = migaki("status")
    assert (
        code == 0 and [row["promotion_id"] for row in told["pending"]] == [one.promotion_id] and told["decision"]["decision"] == "pending"
    )
    assert one.promotion_id[:8] in said and "it can be approved" in said
    assert migaki("promote", "--pending")[1]["pending"] == json.loads(json.dumps(told["pending"], default=str))
    code, told, said = migaki("promote", "--pending", release[:8])
    assert code == 0 and (told["would"], told["held_against"], told["items"], told["against"]) == ("promote", "champion", 40, "")
    assert len(told["conversations"]) == 10 and told["conversations"][0]["before"]["verdict"] == "wrong"
    assert "10 questions, answered by the champion and by the release" in said and "[right]" in said and "[bold]1200" in said
    assert champion_release(home).release_id == before


def test_approving_takes_a_reason_and_puts_the_release_in_the_champions_place(waiting, migaki):
    home, before, release = waiting
    code, told, said = migaki("promote", "--approve", release[:8])
    assert code == 1 and "say why with `migaki promote --approve" in told["message"] and "36 -> " not in said
    assert "10 questions" in said and champion_release(home).release_id == before
    for why, complaint in (("  ", "a reason has 1 to 2,000 characters"), ("長" * 2001, "this one has 2,001")):
        code, told, _ = migaki("promote", "--approve", release[:8], "--why", why)
        assert code == 1 and complaint in told["message"]
    code, told, said = migaki("promote", "--approve", pending(home)[0].promotion_id, "--why", "十問とも良い")
    who = getpass.getuser()
    assert code == 0 and told["reason"] == f"approved by {who}: 十問とも良い" and "十問とも良い" in said
    assert champion_release(home).release_id == release and migaki("status")[1]["pending"] == []
    code, told, said = migaki("audit")
    assert code == 0 and [entry["action"] for entry in told["entries"]] == ["approve", "pending", "promote"]
    assert told["entries"][0]["who"] == who and told["entries"][0]["why"] == "十問とも良い" and "十問とも良い" in said
    assert migaki("promote", "--rollback")[0] == 0 and migaki("audit")[1]["entries"][0]["action"] == "rollback"


def test_refusing_keeps_the_champion(waiting, migaki):
    home, before, release = waiting
    code, told, said = migaki("promote", "--refuse", release[:8], "--why", "too short")
    assert code == 0 and told["decision"] == "refuse" and "does not serve" in said and champion_release(home).release_id == before
    code, told, _ = migaki("promote", "--approve", release[:8], "--why", "after all")
    assert code == 1 and "was decided on already" in told["message"] and told["message"].endswith("too short")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--approve", "nosuch", "--why", "x"], "no decision waits whose id, or whose release's id, begins with 'nosuch'"),
        (["--approve", "", "--why", "x"], "begins with ''"),
        (["--pending", "nosuch"], "no decision waits"),
        (["--why", "x"], "--why TEXT goes with --approve ID or --refuse ID"),
    ],
)
def test_what_cannot_be_is_told(migaki, words, complaint):
    code, told, _ = migaki("promote", *words)
    assert code == 1 and complaint in told["message"]


def test_a_release_whose_files_are_damaged_is_not_approved(waiting, migaki):
    home, before, release = waiting
    (ArtifactStore(home).path(ArtifactStore(home).get("model002")) / "weights").write_bytes(b"9999")
    code, told, _ = migaki("promote", "--approve", release[:8], "--why", "x")
    assert code == 1 and "its model model002 is damaged" in told["message"] and champion_release(home).release_id == before
    ArtifactStore(home).discard("model", "model002")
    assert "its model model002 is gone" in migaki("status")[1]["pending"][0]["against"]


@pytest.mark.parametrize(("since", "count"), [("2000-01-01", 2), ("2100-01-01T09:00+09:00", 0), ("2100-01-01", 0)])
def test_audit_from_a_day_on(migaki, since, count):
    code, told, said = migaki("audit", "--since", since)
    assert code == 0 and len(told["entries"]) == count and f"{count} entries since {since}" in said


def test_audit_shortens_hashes_and_no_names(migaki, waiting):
    settings = {"queue interactive": {"priority": 1}, "work-pool.json": {"sha256": "4b7fe05ceca5" + 52 * "0"}}
    note_state(waiting[0], system_user(), "setting", "platform", settings)
    said = " ".join(migaki("audit")[2].replace("│", " ").split())
    assert "name: queue interactive, priority: 1" in said and "name: work-pool.json, sha256: 4b7fe05ceca5 " in said


@pytest.mark.parametrize("since", ["", "2026-13-01"])
def test_audit_takes_dates_alone_and_no_empty_one(migaki, since):
    assert migaki("audit", "--since", since)[1]["message"].startswith(f"--since {since!r} is no date: accepted are 2026-11-30")


def test_audit_takes_dates_alone(migaki):
    code, told, _ = migaki("audit", "--since", "昨日")
    assert code == 1 and "--since '昨日' is no date: accepted are 2026-11-30" in told["message"]
    code, told, _ = migaki("sql", "SELECT who, action FROM audit ORDER BY ts")
    assert code == 0 and [row["action"] for row in told["rows"]] == ["promote", "pending"]


def test_a_platform_whose_settings_changed_is_entered(home, monkeypatch, tmp_path, capsys):
    platform.note_settings(home, 4200)
    names = {"server", "pool cpu", "pool gpu", "queue interactive", "queue batch", "prefect.yaml", "work-pool.json"}
    assert {entry.detail["name"] for entry in entries(home)} == names
    platform.note_settings(home, 4200)
    assert len(entries(home)) == 7
    monkeypatch.setattr(platform, "POOLS", {"cpu": 2})
    platform.note_settings(home, 4300)
    changed = {(entry.action, entry.detail["name"], entry.detail.get("port")) for entry in entries(home)[:2]}
    assert changed == {("setting changed", "server", 4300), ("setting removed", "pool gpu", None)} and len(entries(home)) == 9
    audit(home, None)
    assert "name: server, port: 4300" in capsys.readouterr().err
