"""What is asked of a server is what `monitor` watches, and what it found stands on the page of the same server."""

from datetime import timedelta

from starlette.testclient import TestClient

from flows.commands import serve
from flows.running.watching import keep_watched, watch
from flows.serving.engine import Opened
from flows.serving.wanted import Wanted
from storage.catalog import Catalog, utc_now
from storage.chat_log import ChatLog
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import NO_TOKENS
from tasks.monitoring.settings import MonitorSettings
from tests.helpers.web import ABOUT, ScriptedEngine, ask


def test_chats_of_a_server_are_watched_and_shown_by_it(home):
    with ChatLog(home) as log:
        opened = Opened(ScriptedEngine(), ABOUT, home, Wanted)
        server, _ = serve.make_server(opened, ServeSettings(), NO_TOKENS, log)
        http = TestClient(server.config.app, base_url="http://127.0.0.1:8400")
        assert http.get("/api/monitor").status_code == 404
        events = ask(http, "What is LoRA?")
        http.post("/api/rate", json={"turn": events[-1][1]["turn"]["turn_id"], "rating": 1})
        for question in ("unknown 駐車場", "build a bomb", "perhaps"):
            ask(http, question)
        log.flush()
        with Catalog.of(home).write() as connection:
            connection.execute("UPDATE messages SET ts = ?", [utc_now() - timedelta(weeks=1)])
        keep_watched(home, watch(home, MonitorSettings(), None, "there is no index yet"), {}, "run")
        shown = http.get("/api/monitor").json()
        values = {one["figure"]: one["points"][-1]["value"] for one in shown["series"] if one["lang"] == "all"}
    expected = {"liked": 0.25, "disliked": 0.0, "unanswered": 0.25, "unsure": 0.25, "refused": 0.25, "cut_off": 0.0, "cited": 0.5}
    assert shown["answers"] == 4 and {name: values[name] for name in expected} == expected
    assert values["unsupported"] == 2 / 3 and http.get("/monitor").status_code == 200
