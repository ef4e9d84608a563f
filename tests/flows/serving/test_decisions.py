"""What a server keeps beside chats: decisions in the name of the token or the system's user, and whom its token file lets in."""

import getpass
from datetime import timedelta

import pytest

from flows.serving.decisions import KeptApprovals, note_tokens
from storage.approvals import pending
from storage.audit import entries
from storage.catalog import utc_now
from storage.registry import set_champion_index
from storage.releases import champion_release
from tasks.chatbot.web.approvals import NotDecided
from tasks.chatbot.web.tokens import TokenFile, User
from tests.helpers.chat_rows import questions
from tests.helpers.releases import decide, made, part

ANN = User("0123456789abcdef" * 2, name="安", role="admin")


@pytest.fixture
def waiting(home):
    """(home, id of the decision that waits)"""
    part(home, "index001", "index", {"documents": 1}, indexes=[{"documents": 1, "chunks": 1, "skipped": 0, "stage": "candidate"}])
    set_champion_index(home, "index001")
    decide(home, made(home, "model001").id)
    rows = [row | {"prompt": "窯の温度は?", "reference": "1200"} for row in (*questions("champion", 2), *questions("release", 2))]
    part(home, "eval0001", "evaluation", {"models": {}}, evaluation_answers=rows)
    facts = {"would": "promote", "index_id": "index001", "evaluation_id": "eval0001", "expires": utc_now() + timedelta(days=1)}
    decide(home, made(home, "model002").id, "pending", **facts)
    return home, pending(home)[0].promotion_id


@pytest.mark.parametrize(
    ("user", "name"),
    [(ANN, "安 (token 01234567)"), (User("fedcba9876543210" * 2, role="admin"), "token fedcba98"), (User(role="admin"), getpass.getuser())],
)
def test_it_is_decided_in_the_name_of_whoever_asked(waiting, user, name):
    home, one = waiting
    approvals = KeptApprovals(home)
    (told,) = approvals.waiting()
    assert (told["id"], told["would"], told["against"], told["against_why"]) == (one, "promote", "", "")
    shown = approvals.conversations(one)
    assert shown["held_against"] == "champion" and len(shown["conversations"]) == 4
    assert shown["conversations"][0]["before"] == {"answer": "The kiln is hot.", "verdict": "right"}
    approvals.decide(one, "approve", user, "良い")
    assert champion_release(home).release_id == told["release"] and approvals.waiting() == []
    assert (entries(home)[0].who, entries(home)[0].via, entries(home)[0].why) == (name, "page", "良い")
    with pytest.raises(NotDecided) as refused:
        approvals.decide(one, "refuse", user, "x")
    assert refused.value.code == "decided"


def test_what_stands_against_it_has_a_code(waiting):
    home, one = waiting
    part(home, "index002", "index", {"documents": 1}, indexes=[{"documents": 1, "chunks": 1, "skipped": 0, "stage": "candidate"}])
    set_champion_index(home, "index002")
    approvals = KeptApprovals(home)
    assert approvals.waiting()[0]["against"] == "index_changed" and "index002" in approvals.waiting()[0]["against_why"]
    for what, code in (("approve", "index_changed"),):
        with pytest.raises(NotDecided) as refused:
            approvals.decide(one, what, ANN, "x")
        assert refused.value.code == code
    set_champion_index(home, "index001")
    (home.objects / "model" / "model002" / "weights").write_bytes(b"9999")
    with pytest.raises(NotDecided, match="is damaged") as refused:
        approvals.decide(one, "approve", ANN, "x")
    assert refused.value.code == "cannot_serve"
    with pytest.raises(NotDecided) as refused:
        approvals.conversations("nosuch")
    assert refused.value.code == "unknown"


def test_tokens_that_came_and_went_are_entered_without_the_tokens(home, tmp_path):
    path, said = tmp_path / "tokens", []
    first, second = "first-0123456789abcdef", "second-0123456789abcdef"
    path.write_text(f"{first}:hr:Ann:admin\n{second}\n")

    def read(text):
        path.write_text(text)
        note_tokens(home, said.append, TokenFile(path))
        return [(one.action, one.detail["holder"], one.detail["role"]) for one in reversed(entries(home))]

    came = [("token added", "Ann", "admin"), ("token added", "", "reader")]
    assert sorted(read(f"{first}:hr:Ann:admin\n{second}\n")) == sorted(came)
    assert len(read(f"{first}:hr:Ann:admin\n{second}\n")) == 2
    assert sorted(read(f"{first}:hr:Ann:reader\n")[2:]) == [("token changed", "Ann", "reader"), ("token removed", "", "reader")]
    assert {(one.who, one.via, one.subject) for one in entries(home)} == {(getpass.getuser(), "server", str(path))}
    assert first not in str(entries(home)) and said == []


def test_a_catalog_that_cannot_be_written_locks_nobody_out(home, tmp_path, monkeypatch):
    path, said = tmp_path / "tokens", []
    path.write_text("first-0123456789abcdef\n")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("flows.serving.decisions.note_state", full)
    note_tokens(home, said.append, TokenFile(path))
    assert len(said) == 1 and "cannot be entered into the table audit for now: no space left" in said[0]
