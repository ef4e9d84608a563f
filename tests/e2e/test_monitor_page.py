"""The page of the watched chatbot in Chromium: opened with a token, in both languages, and what people wrote is text on it."""

import json
import socket
import threading
from dataclasses import asdict
from datetime import datetime

import pytest
import uvicorn

from tasks.chatbot.web.app import create_app
from tasks.chatbot.web.monitor import monitor_routes
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import TokenFile
from tasks.monitoring.charts import trends
from tasks.monitoring.drift import Drift, IndexDrift
from tasks.monitoring.ranges import Point, Rule
from tasks.monitoring.watched import Questions, Watched, over_releases, weekly
from tests.helpers.watched_chats import USUAL, turns_of_weeks
from tests.helpers.web import ABOUT, MemoryChats, ScriptedEngine

ADMIN, READER = "admin-0123456789abcdef", "reader-0123456789abcdef"
HOSTILE = '駐車場は? <img src="http://127.0.0.1:9/x.png" onerror="document.title=1">'
pytestmark = pytest.mark.e2e


def watched() -> dict:
    rule, now = Rule(3.0, 8, 6, 30), datetime(2026, 11, 30, 9)
    told = [("chat.told", "ja", Point(f"{number}release", 0.8 if number < 8 else 0.4, 0.3, 0.9, 60)) for number in range(9)]
    found = (*weekly(turns_of_weeks(datetime(2026, 11, 25), [*USUAL, 0.4]), now, "Asia/Tokyo", rule), *over_releases(told, rule, 26))
    index, drift = IndexDrift(66, 1, 2, 3, 9, 40.0, 20.0), Drift(0.2, 0.001, 60, 400)
    this = Watched(
        "2026-11-30T00:00:00", "Asia/Tokyo", "2026-11-23", "8release", 60, found, drift, True, index, Questions("2026-11-02", 3, 1, ())
    )
    shown = json.loads(json.dumps(asdict(this))) | {"charts": trends(found)}
    shown["questions"]["groups"] = [{"lang": "ja", "asked": 2, "examples": [HOSTILE]}]
    return shown


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a server that shows what was found, and what it shows by address."""
    file = tmp_path_factory.mktemp("site") / "tokens"
    file.write_text(f"{ADMIN}::Anna:admin\n{READER}::Ben\n")
    app, found = create_app(ScriptedEngine(), MemoryChats(), ABOUT, ServeSettings(), TokenFile(file).tokens), {"now": watched()}
    app.include_router(monitor_routes(lambda: found["now"]))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}", found
        server.should_exit = True
        thread.join(20)


def opened(chromium, address, token, locale="en-US", width=1200):
    page = chromium.new_context(locale=locale, viewport={"width": width, "height": 900}).new_page()
    page.goto(f"{address}/monitor")
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")
    return page


@pytest.mark.parametrize(("locale", "width"), [("en-US", 1200), ("ja-JP", 400)])
def test_an_admin_sees_what_left_its_range_and_what_people_miss(site, chromium, locale, width):
    page, asked = opened(chromium, site[0], ADMIN, locale, width), []
    page.on("request", lambda request: asked.append(request.url))
    cell = page.get_by_role("cell", name=HOSTILE)
    cell.wait_for()
    assert cell.inner_text() == HOSTILE
    first = page.get_by_role("listitem").first.inner_text()
    assert first.startswith(
        "No document answers (all): 40%, above its range of" if locale == "en-US" else "答える文書がない(全体): 40%。範囲"
    )
    images = page.locator(".card img")
    images.last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert images.count() == len(watched()["charts"])
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert all(url.startswith((site[0], "data:")) for url in asked) and page.title().endswith("Migaki")
    page.get_by_role("button", name="日本語" if locale == "en-US" else "English").click()
    assert page.get_by_role("heading", level=1).inner_text() == ("チャットボットの様子" if locale == "en-US" else "How the chatbot does")
    page.context.close()


def test_the_chat_leads_administrators_there_and_nobody_else(site, chromium):
    page = opened(chromium, site[0], ADMIN)
    page.goto(site[0])
    page.get_by_role("link", name="How the chatbot does").click()
    page.get_by_role("heading", name="How the chatbot does").wait_for()
    page.context.close()
    page = opened(chromium, site[0], READER)
    page.goto(site[0])
    page.get_by_text("Ben (reader)").wait_for()
    assert page.locator("#monitor").is_hidden()
    page.context.close()


def test_nobody_else_sees_it_and_before_the_first_look_it_is_said(site, chromium):
    page = opened(chromium, site[0], READER, "ja-JP")
    page.get_by_role("alert").get_by_text("この画面は管理者").wait_for()
    page.context.close()
    address, found = site
    before, found["now"] = found["now"], None
    page = opened(chromium, address, ADMIN)
    page.get_by_text("nothing was looked at yet").wait_for()
    found["now"] = before | {"series": [], "drifted": False}
    page.reload()
    page.get_by_text("Nothing can be judged yet").wait_for()
    page.context.close()
    found["now"] = before
