"""Administrators, and nobody else, decide over the API on releases that wait."""

import pytest
from starlette.testclient import TestClient

from tasks.chatbot.web.tokens import TokenFile
from tests.helpers.web import MemoryApprovals, app

TOKENS = {"admin": "admin-0123456789abcdef", "editor": "editor-0123456789abcde", "reader": "reader-0123456789abcde"}


@pytest.fixture
def approvals():
    return MemoryApprovals("one", "two")


@pytest.fixture
def client(approvals, tmp_path):
    """Gives a client in a role; "" is the machine's own person, of a server without tokens."""
    file = tmp_path / "tokens"
    file.write_text("".join(f"{token}::{role} 安:{role}\n" for role, token in TOKENS.items()), encoding="utf-8")

    def of(role="admin", **headers):
        tokens = TokenFile(file).tokens if role else None
        headers = headers | ({"Authorization": f"Bearer {TOKENS[role]}"} if role else {})
        return TestClient(app(approvals=approvals, tokens=tokens), base_url="http://127.0.0.1:8400", headers=headers)

    return of


def test_an_administrator_sees_what_waits_and_decides(client, approvals):
    http = client()
    assert [one["id"] for one in http.get("/api/approvals").json()["waiting"]] == ["one", "two"]
    assert http.get("/api/approvals/one").json()["conversations"][1]["question"] == "窯の温度は?"
    assert http.post("/api/approvals/one", json={"decision": "approve", "why": "十問とも良い"}).status_code == 204
    assert http.post("/api/approvals/two", json={"decision": "refuse", "why": "too short"}).status_code == 204
    assert approvals.words == [("one", "approve", "admin 安", "十問とも良い"), ("two", "refuse", "admin 安", "too short")]
    assert http.get("/api/approvals").json() == {"waiting": []}


@pytest.mark.parametrize("role", ["reader", "editor"])
def test_nobody_else_may_even_look(client, approvals, role):
    http = client(role)
    for answer in (
        http.get("/api/approvals"),
        http.get("/api/approvals/one"),
        http.post("/api/approvals/one", json={"decision": "approve", "why": "x"}),
    ):
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "not_allowed"
    assert approvals.words == []


def test_without_a_token_where_one_is_needed_nothing_is_told(client):
    http = client()
    del http.headers["Authorization"]
    assert http.get("/api/approvals").status_code == 401
    page = http.get("/approvals")
    assert page.status_code == 200 and "script-src 'self'" in page.headers["content-security-policy"] and "<script>" not in page.text


def test_at_the_machine_itself_its_person_decides_and_nobody_through_a_proxy(client, approvals):
    assert client("").post("/api/approvals/one", json={"decision": "approve", "why": "x"}).status_code == 204
    through = client("", **{"X-Forwarded-For": "10.0.0.9"})
    assert through.post("/api/approvals/two", json={"decision": "approve", "why": "x"}).status_code == 403
    foreign = client("", Origin="http://elsewhere.example")
    assert foreign.post("/api/approvals/two", json={"decision": "approve", "why": "x"}).status_code == 403
    assert [word[0] for word in approvals.words] == ["one"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"decision": "approve", "why": " \n"}, 422, "no_reason"),
        ({"decision": "approve"}, 422, "invalid_request"),
        ({"decision": "maybe", "why": "x"}, 422, "invalid_request"),
        ({"decision": "approve", "why": "長" * 2001}, 422, "invalid_request"),
        ({"decision": "approve", "why": "x", "who": "root"}, 422, "invalid_request"),
    ],
)
def test_half_a_word_decides_nothing(client, approvals, body, status, code):
    answer = client().post("/api/approvals/one", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code) and approvals.words == []


def test_what_cannot_be_decided_is_told_with_its_code(client, approvals):
    http = client()
    for path in ("nosuch", "%2e%2e"):
        answer = http.get(f"/api/approvals/{path}")
        assert answer.status_code in (404, 405)
    assert http.get("/api/approvals/nosuch").json()["error"]["code"] == "unknown"
    approvals.against = ("champion_changed", "the champion changed since")
    answer = http.post("/api/approvals/one", json={"decision": "approve", "why": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "champion_changed")
