"""The page of the watched chatbot: for admins, and text alone."""

import pytest
from starlette.testclient import TestClient

from tasks.chatbot.web.app import create_app
from tasks.chatbot.web.monitor import monitor_routes
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import Tokens, User, _digest
from tests.helpers.web import ABOUT, MemoryChats, ScriptedEngine

WATCHED = {"week": "2026-11-23", "questions": {"groups": [{"examples": ["駐車場は?"]}]}}


def site(found) -> TestClient:
    """A server with a token for each role."""
    users = {_digest(f"the-{role}-of-this-server", "token"): User(role, role=role) for role in ("admin", "editor", "reader")}
    app = create_app(ScriptedEngine(), MemoryChats(), ABOUT, ServeSettings(), Tokens(users))
    app.include_router(monitor_routes(lambda: found))
    return TestClient(app, base_url="http://127.0.0.1:8400")


def get(http, role):
    return http.get("/api/monitor", headers={"Authorization": f"Bearer the-{role}-of-this-server"} if role else {})


def test_an_admin_sees_what_was_found():
    assert get(site(WATCHED), "admin").json() == WATCHED


@pytest.mark.parametrize(("role", "status"), [("", 401), ("stranger", 401), ("reader", 403), ("editor", 403)])
def test_nobody_else_does(role, status):
    answer = get(site(WATCHED), role)
    assert answer.status_code == status and "駐車場" not in answer.text


def test_before_the_first_look_it_is_said_what_looks():
    answer = get(site(None), "admin")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_watched" and "migaki monitor" in answer.text


def test_the_page_may_show_images_that_an_answer_holds_and_run_its_own_scripts_alone():
    page = site(None).get("/monitor")
    policy = page.headers["content-security-policy"]
    assert (
        page.status_code == 200 and "img-src 'self' data:" in policy and "script-src 'self';" in policy and "default-src 'none'" in policy
    )
