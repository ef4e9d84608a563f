"""A report in Chromium: opened with a token, and whatever stands in it does nothing."""

import socket
import threading

import pytest
import uvicorn

from tasks.chatbot.web.app import create_app
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import TokenFile
from tests.helpers.web import ABOUT, MemoryChats, ScriptedEngine

RUN = "25fb97bc-9d1f-4a4c-8812-e28ce7ad072e"
ADMIN, READER = "admin-0123456789abcdef", "reader-0123456789abcdef"
HOSTILE = """<!doctype html><style>h1 { color: rgb(1, 2, 3); }</style><h1>損失 0.744</h1>
<script>parent.document.title = "taken"; document.body.innerHTML = "gone"</script>
<img src="http://127.0.0.1:9/x.png" onerror="document.body.innerHTML = 'gone'"><img id="inside" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">
<form action="http://127.0.0.1:9/"><button>send</button></form><a href="http://127.0.0.1:9/" target="_top">away</a>"""
pytestmark = pytest.mark.e2e


@pytest.fixture
def site(tmp_path):
    """The address of a server with one report."""
    (tmp_path / "tokens").write_text(f"{ADMIN}::Anna:admin\n{READER}::Ben\n")
    tokens = TokenFile(tmp_path / "tokens").tokens
    found = create_app(ScriptedEngine(), MemoryChats(), ABOUT, ServeSettings(), tokens, {RUN: HOSTILE}.get)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(found, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


def sign_in(page, token):
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")


def test_an_admin_sees_the_report_and_nothing_in_it_runs_or_leads_away(site, chromium):
    context = chromium.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}/report#{RUN}")
    sign_in(page, "wrong-0123456789abcdef")
    page.get_by_text("This token is not known here.").wait_for()
    sign_in(page, ADMIN)
    frame = page.frame_locator("#report")
    frame.get_by_role("heading", name="損失 0.744").wait_for()
    assert frame.locator("h1").evaluate("node => getComputedStyle(node).color") == "rgb(1, 2, 3)"  # its own style is let in
    assert frame.locator("#inside").evaluate("node => node.naturalWidth") == 1
    frame.get_by_text("away").click()
    frame.get_by_role("button", name="send").click()
    page.wait_for_timeout(300)
    assert page.url == f"{site}/report#{RUN}" and page.title() == "Report of a run 25fb97bc · Migaki"
    assert all(url.startswith((site, "data:")) for url in asked)
    context.close()


@pytest.mark.parametrize(
    ("token", "run", "words"), [(READER, RUN, "レポートは管理者"), (ADMIN, RUN.replace("25fb", "0000"), "このレポートは見つかりません")]
)
def test_in_japanese_it_is_said_why_there_is_none(site, chromium, token, run, words):
    context = chromium.new_context(locale="ja-JP")
    page = context.new_page()
    page.goto(f"{site}/report#{run}")
    sign_in(page, token)
    page.get_by_role("alert").get_by_text(words).wait_for()
    assert page.locator("#report").is_hidden()
    context.close()
