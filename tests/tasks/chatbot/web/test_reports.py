"""Reports on the chat's page: for admins, in a frame that may do nothing."""

import re

import pytest
from starlette.testclient import TestClient

from tasks.chatbot.web.app import create_app
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import Tokens, User, _digest
from tests.helpers.web import ABOUT, MemoryChats, ScriptedEngine

RUN = "25fb97bc-9d1f-4a4c-8812-e28ce7ad072e"
PAGE = "<h1>損失</h1><script>alert(1)</script>"


@pytest.fixture
def asked():
    return []


@pytest.fixture
def http(asked):
    """A server with an admin's and a reader's token, and one report."""
    users = {_digest(f"the-{role}-of-this-server", "token"): User(role, role=role) for role in ("admin", "editor", "reader")}

    def read(run):
        asked.append(run)
        return PAGE if run == RUN else None

    app = create_app(ScriptedEngine(), MemoryChats(), ABOUT, ServeSettings(), Tokens(users), read)
    return TestClient(app, base_url="http://127.0.0.1:8400")


def get(http, run, role):
    headers = {"Authorization": f"Bearer the-{role}-of-this-server"} if role else {}
    return http.get(f"/api/reports/{run}", headers=headers)


def test_an_admin_reads_a_report(http):
    assert get(http, RUN, "admin").json() == {"run": RUN, "page": PAGE}


@pytest.mark.parametrize(("role", "status"), [("", 401), ("stranger", 401), ("reader", 403), ("editor", 403)])
def test_nobody_else_does(http, asked, role, status):
    answer = get(http, RUN, role)
    assert answer.status_code == status and asked == [] and "損失" not in answer.text


@pytest.mark.parametrize("run", ["latest", "..%2Flatest", "%2e%2e%2f%2e%2e%2fcatalog", "量子", RUN.upper(), RUN + "x", "0" * 36])
def test_what_is_no_run_is_never_looked_for(http, asked, run):
    assert get(http, run, "admin").status_code == 404 and asked == []


def test_a_run_without_a_report_is_said(http):
    other = RUN.replace("25fb", "0000")
    answer = get(http, other, "admin")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "unknown_report" and other in answer.json()["error"]["message"]


def test_its_frame_may_do_nothing_and_its_page_runs_no_script_but_its_own(http):
    page = http.get("/report")
    assert page.status_code == 200 and re.search(r"<iframe [^>]*sandbox data-", page.text)
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    assert http.get("/").headers["content-security-policy"] != policy and page.headers["x-content-type-options"] == "nosniff"


FOLLOWED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}


def test_a_link_of_another_site_leads_to_the_page_and_to_nothing_else(http):
    assert http.get("/report", headers=FOLLOWED).status_code == 200
    answers = [http.get("/report", headers=FOLLOWED | {"Sec-Fetch-Dest": dest}) for dest in ("iframe", "empty", "script", "embed")]
    answers.append(http.get(f"/api/reports/{RUN}", headers=FOLLOWED | {"Authorization": "Bearer the-admin-of-this-server"}))
    answers.append(http.post("/report", headers=FOLLOWED, json={}))
    answers.append(http.get("/report", headers=FOLLOWED | {"Origin": "http://evil.example"}))
    assert [answer.status_code for answer in answers] == [403] * 7
