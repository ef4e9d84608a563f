"""The gate on releases: of which evaluation it decides, by what, and what is recorded."""

import pytest

from flows.commands import show
from flows.running.gate import gate
from flows.running.releases import promote_to
from storage.artifacts import ArtifactStore
from storage.home import Home, StorageError
from storage.queries.evaluations import turns_of
from storage.queries.promotions import promotion_of
from storage.releases import champion_release
from tasks.errors import MigakiError
from tasks.evaluation.promotion import LOSS, UTILITY
from tasks.evaluation.settings import PromoteSettings
from tests.helpers.chat_rows import questions
from tests.helpers.releases import made, part

SERVER = {"server": "http://s", "server_model": "m"}
BETTER = [*questions("champion", 20, 20), *questions("release", 36, 4)]


def evaluation(home: Home, rows=(), loss=None, name="eval0001", **releases):
    figures = [{"model": "release - champion", "metric": LOSS, "lang": "all"} | loss] if loss else []
    tables = {name: own for name, own in {"evaluation_answers": list(rows), "evaluations": figures}.items() if own}
    releases = {role: release.id for role, release in releases.items()}
    return part(home, name, "evaluation", {"models": {"base": "hub:a/b"}, "releases": releases}, **tables)


@pytest.mark.parametrize(
    ("champion", "candidate", "reason"),
    [
        ({}, {"top_k": 7}, "the champion has the same model, and only settings differ"),
        ({}, SERVER, "a server answers, whose loss is not known"),
        (SERVER, {}, "a server answers, whose loss is not known"),
    ],
)
def test_what_answer_loss_cannot_tell_utility_does(home, champion, candidate, reason, capsys):
    before, release = made(home, "model001", **champion), made(home, "model001", **candidate)
    promote_to(home, before.id)
    without = gate(PromoteSettings(), home, release, evaluation(home, release=release, champion=before), "first")
    assert without.decision == "inconclusive" and reason in without.reason and "migaki promote --to ID" in without.reason
    assert champion_release(home).release_id == before.id
    asked = evaluation(home, BETTER, name="eval0002", release=release, champion=before)
    decision = gate(PromoteSettings(), home, release, asked, "run")
    assert decision.decision == "promote" and champion_release(home).release_id == release.id
    kept = promotion_of(home, "run")
    assert (kept.release_id, kept.champion_release_id, kept.metric, kept.items) == (release.id, before.id, UTILITY, 40)
    assert (kept.difference, kept.smallest, kept.needed) == (decision.difference, decision.smallest, decision.needed)
    assert gate(PromoteSettings(), home, release, asked, "again").decision == "unchanged"
    assert show.status_tables(home)["decision"]["smallest"] == decision.smallest
    assert f"last decision, on the release {release.id[:12]}: promote: {decision.reason}" in capsys.readouterr().err


def test_wrong_answers_cost_what_the_champion_says(home):
    """A release that never abstains because wrong answers cost it nothing is not judged so."""
    before, release = made(home, "model001"), made(home, "model002", cost_wrong=0.0)
    promote_to(home, before.id)
    bold = [*questions("champion", 20, unanswered=20), *questions("release", 24, wrong=16, told=0.0)]
    assert gate(PromoteSettings(), home, release, evaluation(home, bold, release=release, champion=before), "run").decision == "keep"


def test_a_decision_is_told_and_so_are_the_guards_that_broke(home, monkeypatch):
    before, release = made(home, "model001"), made(home, "model002")
    told = []
    monkeypatch.setattr("flows.running.events.emit", lambda home, *event: told.append(event))
    promote_to(home, before.id)
    hits = {"model": "index", "metric": "hit@5", "lang": "all", "value": 0.25}
    tables = {"evaluation_answers": list(BETTER), "evaluations": [hits]}
    releases = {"release": release.id, "champion": before.id}
    asked = part(home, "eval0001", "evaluation", {"models": {"base": "hub:a/b"}, "releases": releases}, **tables)
    decision = gate(PromoteSettings(min_hit_at_5=0.9), home, release, asked, "run")
    assert decision.decision == "keep" and decision.guards == (
        "the index finds the right document among five for 25% of the questions, 90% are asked for",
    )
    assert [(event, kind, id) for event, kind, id, _ in told] == [
        ("migaki.release.promoted", "release", before.id),
        ("migaki.release.kept", "release", release.id),
        ("migaki.guard.broken", "release", release.id),
    ]
    assert told[1][3]["run_id"] == "run" and told[1][3]["reason"] == decision.reason and told[1][3]["items"] == 40
    assert told[2][3] == {"stage": "promote", "reason": decision.guards[0], "guards": list(decision.guards)}


def test_without_own_questions_answer_loss_decides(home):
    before, release = made(home, "model001"), made(home, "model002")
    promote_to(home, before.id)
    loss = {"value": -0.2, "low": -0.3, "high": -0.1, "items": 48}
    decision = gate(PromoteSettings(), home, release, evaluation(home, loss=loss, release=release, champion=before), "run")
    assert decision.decision == "promote" and promotion_of(home, "run").metric == LOSS


def test_the_gate_decides_on_this_release_against_this_champion(home):
    before, release, other = (made(home, f"model00{i}") for i in (1, 2, 3))
    promote_to(home, before.id)
    for releases in ({"release": other}, {"release": release}, {"release": release, "champion": other}):
        with pytest.raises(MigakiError, match="run `migaki evaluate` first"):
            gate(PromoteSettings(), home, release, evaluation(home, **releases), "run")
        ArtifactStore(home).discard("evaluation", "eval0001")


def test_a_champion_that_cannot_serve_leaves_the_base_to_compare_with(home):
    before, release = made(home, "model001"), made(home, "model002")
    promote_to(home, before.id)
    ArtifactStore(home).discard("model", "model001")
    rows = [*questions("base", 20, 20), *questions("release", 36, 4)]
    decision = gate(PromoteSettings(), home, release, evaluation(home, rows, release=release), "run")
    assert decision.decision == "promote" and "against the base model" in decision.reason


def test_a_gate_that_was_overtaken_is_told(home, monkeypatch):
    first, second, third = (made(home, f"model00{i}") for i in (1, 2, 3))
    promote_to(home, first.id)
    asked = evaluation(home, BETTER, release=second, champion=first)

    def overtaken(*where):
        promote_to(home, third.id)
        return turns_of(*where)

    monkeypatch.setattr("flows.running.gate.turns_of", overtaken)
    with pytest.raises(StorageError, match=f"{third.id[:12]} serves, and this was decided against the release {first.id[:12]}"):
        gate(PromoteSettings(), home, second, asked, "run")
    assert champion_release(home).release_id == third.id and promotion_of(home, "run") is None
