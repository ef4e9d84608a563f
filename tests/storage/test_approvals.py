"""What waits for a person: how it ends, once; what stands against it; and that `audit` has all of it."""

import multiprocessing
from datetime import timedelta

import pytest

from storage.approvals import CannotDecide, answer, expire, moved, pending, pending_named
from storage.audit import Who, entries
from storage.catalog import Catalog, utc_now
from storage.home import Home, StorageError
from storage.prune import unneeded
from storage.registry import set_champion_index
from storage.releases import champion_release
from tests.helpers.releases import decide, made, part

ANN, JIRO = Who("Ann", "page"), Who("次郎", "command")


def waits(home: Home, model: str, days: float = 1, **facts):
    """The decision that waits on a new release, evaluated with the index `index001`."""
    release = made(home, model)
    decide(
        home,
        release.id,
        "pending",
        "a person decides",
        would="promote",
        index_id="index001",
        expires=utc_now() + timedelta(days=days),
        **facts,
    )
    return pending(home)[0]


@pytest.fixture
def serving(home):
    """A home with a champion, whose index `index001` serves, and another one there."""
    for name in ("index001", "index002"):
        part(home, name, "index", {"documents": 1}, indexes=[{"documents": 1, "chunks": 1, "skipped": 0, "stage": "candidate"}])
    set_champion_index(home, "index001")
    decide(home, made(home, "model001").id)
    return home


def stage_of(home, release):
    return Catalog.of(home).query("SELECT stage FROM releases WHERE release_id = ?", [release])[0]["stage"]


def test_what_waits_changes_nothing_until_it_is_approved(serving):
    before = champion_release(serving).release_id
    one = waits(serving, "model002")
    assert champion_release(serving).release_id == before and stage_of(serving, one.release_id) == "candidate"
    assert pending_named(serving, one.promotion_id[:8]) == pending_named(serving, one.release_id[:10]) == one
    promotion = answer(serving, one, "approve", ANN, "出典が良い")
    assert (promotion.decision, promotion.reason, promotion.champion_release_id) == ("promote", "approved by Ann: 出典が良い", before)
    assert champion_release(serving).release_id == one.release_id and stage_of(serving, before) == "archived"
    assert pending(serving) == []
    last = entries(serving)[0]
    assert (last.who, last.via, last.action, last.subject, last.why) == ("Ann", "page", "approve", one.release_id, "出典が良い")
    assert last.detail == {"promotion": promotion.promotion_id, "run": None, "champion_before": before}


def test_what_is_refused_is_rejected_and_can_be_decided_on_no_more(serving):
    one = waits(serving, "model002")
    answer(serving, one, "refuse", JIRO, "too short")
    assert stage_of(serving, one.release_id) == "rejected" and champion_release(serving).release_id != one.release_id
    for what in ("approve", "refuse"):
        with pytest.raises(CannotDecide, match="was decided on already, .*: refuse: refused by 次郎: too short") as refused:
            answer(serving, one, what, ANN, "why not")
        assert refused.value.code == "decided"
    with pytest.raises(CannotDecide, match="decided on already"):
        pending_named(serving, one.release_id[:10])
    assert [entry.action for entry in entries(serving)] == ["refuse", "pending", "promote"]


@pytest.mark.parametrize("nothing", ["", "zz", "0000"])
def test_what_does_not_wait_is_told(serving, nothing):
    with pytest.raises(CannotDecide, match="no decision waits .*`migaki promote --pending` lists them") as refused:
        pending_named(serving, nothing)
    assert refused.value.code == "unknown"


def test_two_that_begin_alike_are_not_guessed_between(serving):
    waits(serving, "model002")
    waits(serving, "model003")
    with pytest.raises(StorageError, match="2 decisions that wait begin with 'pending '"):
        pending_named(serving, "pending ")


def test_another_champion_or_index_stands_against_it(serving):
    one, other = waits(serving, "model002"), waits(serving, "model003")
    assert moved(serving, one) is None
    set_champion_index(serving, "index002")
    with pytest.raises(
        CannotDecide, match="the index index002 serves, and this was evaluated with the index index001: .*migaki evaluate"
    ) as refused:
        answer(serving, one, "approve", ANN, "better")
    assert refused.value.code == moved(serving, one).code == "index_changed"
    set_champion_index(serving, "index001")
    answer(serving, other, "approve", ANN, "better")
    with pytest.raises(CannotDecide, match=f"the champion changed since: the release {other.release_id[:12]} serves, and this") as refused:
        answer(serving, one, "approve", ANN, "better")
    assert refused.value.code == moved(serving, one).code == "champion_changed" and champion_release(serving).release_id == other.release_id
    answer(serving, one, "refuse", ANN, "overtaken")  # which takes nothing
    assert pending(serving) == []


def test_the_first_release_of_a_home_waits_too(home):
    part(home, "index001", "index", {"documents": 1}, indexes=[{"documents": 1, "chunks": 1, "skipped": 0, "stage": "candidate"}])
    one = waits(home, "model001")
    assert moved(home, one).code == "index_changed" and "no index serves" in str(moved(home, one))
    set_champion_index(home, "index001")
    answer(home, one, "approve", ANN, "a beginning")
    assert champion_release(home).release_id == one.release_id


def test_one_whose_time_is_over_is_recorded_and_cannot_be_approved(serving):
    kept, over = waits(serving, "model002"), waits(serving, "model003", days=-0.1)
    with pytest.raises(CannotDecide, match=r"expired, recorded .*: nobody decided until 2.* UTC") as refused:
        answer(serving, over, "approve", ANN, "late")
    assert refused.value.code == "expired" and [one.promotion_id for one in pending(serving)] == [kept.promotion_id]
    assert [(entry.who, entry.via, entry.action) for entry in entries(serving)][:1] == [("migaki", "clock", "expired")]
    assert expire(serving) == [] and len(entries(serving)) == 4
    assert stage_of(serving, over.release_id) == "candidate"


def test_a_later_decision_on_the_same_release_takes_its_place(serving):
    first, second = waits(serving, "model002"), waits(serving, "model002", run_id="run2")
    assert pending(serving) == [second] and pending_named(serving, first.release_id) == second
    with pytest.raises(CannotDecide, match="decided on already, .*: pending"):
        answer(serving, first, "approve", ANN, "what I saw")
    decide(serving, second.release_id, "promote")  # by hand
    assert pending(serving) == []


def approve(home: Home, barrier) -> str:
    one = pending(home)[0]
    barrier.wait()
    try:
        answer(home, one, "approve", ANN, "race")
    except CannotDecide as error:
        return error.code
    return "won"


def test_of_two_people_at_once_one_decides(serving):
    waits(serving, "model002")
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(2) as pool:
        barrier = manager.Barrier(2)
        said = pool.starmap(approve, [(serving, barrier)] * 2)
    assert sorted(said) == ["decided", "won"] and [entry.action for entry in entries(serving)].count("approve") == 1


def test_prune_leaves_what_waits(serving):
    part(serving, "eval0001", "evaluation", {"models": {}})
    one = waits(serving, "model002", evaluation_id="eval0001")
    gone = {kept.ref.id for kept in unneeded(serving, 0)}
    assert gone == {"index002"} and one.release_id not in gone
    answer(serving, one, "refuse", ANN, "no")
    assert {"eval0001", "model002"} <= {kept.ref.id for kept in unneeded(serving, 0)}
