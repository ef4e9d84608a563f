"""The bundled tools: when each is asked for, in both languages, what the providers answer, and what the services may do wrong."""

import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlparse

import pytest

from tasks.chatbot.tools import clock
from tasks.chatbot.tools.bundled import bundled_tools
from tasks.chatbot.tools.select import next_call
from tasks.chatbot.tools.settings import ToolSettings
from tasks.errors import MigakiError

TODAY, TOMORROW = "2028-02-29", "2028-03-01"


@pytest.fixture(autouse=True)
def leap_day(monkeypatch):
    """Half past eight in Tokyo, where London still has the day before."""
    at = datetime(2028, 2, 28, 23, 30, tzinfo=UTC)
    monkeypatch.setattr(clock, "datetime", SimpleNamespace(now=at.astimezone))


class Index:
    def __init__(self):
        self.asked = []

    def search(self, query, k, groups=frozenset()):
        self.asked.append((query, groups))
        return (
            [SimpleNamespace(title="Leave", document="leave.md", text=f"All about {query}.", chunk_id="c", restricted=True)]
            if "nothing" not in query
            else []
        )


def calls(question, box):
    made = []
    while (call := next_call(None, [{"role": "user", "content": question}], box, question, made)) and len(made) < 6:
        made.append((call, box.call(call.name, call.arguments)))
    return [(call.name, call.arguments) for call, _ in made]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("東京の天気はどうですか?", [("get_weather", {"city": "東京"})]),
        ("東京の7月の天気は?", [("get_weather", {"city": "東京"})]),
        ("来週の天気は?", []),
        ("明日の大阪の天気を教えて", [("get_weather", {"city": "大阪", "date": TOMORROW})]),
        ("大阪と京都の気温は?", [("get_weather", {"city": "大阪"}), ("get_weather", {"city": "京都"})]),
        ("札幌は寒いですか?", [("get_weather", {"city": "札幌"})]),
        (
            "What's the weather in Tokyo and London tomorrow?",
            [("get_weather", {"city": city, "date": TOMORROW}) for city in ("Tokyo", "London")],
        ),
        ("Will it rain in New York on 2026-01-15?", [("get_weather", {"city": "New York", "date": "2026-01-15"})]),
        ("what's the weather in tokyo?", [("get_weather", {"city": "tokyo"})]),
        ("How is the weather?", []),
        ("What is the temperature in sampling?", []),
        ("温度パラメータとは何ですか?", []),
        ("How does the weather service in Kubernetes work?", []),
        ("今何時ですか?", [("now", {"timezone": "Asia/Tokyo"})]),
        ("今日は何曜日?", [("now", {"timezone": "Asia/Tokyo"})]),
        ("What time is it in London?", [("now", {"timezone": "Europe/London"})]),
        ("ニューヨークは今何時?", [("now", {"timezone": "America/New_York"})]),
        ("What was the time complexity of attention?", []),
        ("Search the web for open language models", [("search_web", {"query": "open language models"})]),
        ("ウェブで量子化について調べて", [("search_web", {"query": "量子化"})]),
        ("Search the documents for vacation policy", [("search_documents", {"query": "vacation policy"})]),
        ("資料で有給休暇を検索してください", [("search_documents", {"query": "有給休暇"})]),
        ("What is 3*4, and what time is it?", [("calculate", {"expression": "3*4"}), ("now", {"timezone": "Asia/Tokyo"})]),
        ("東京の天気と今の時刻は?", [("now", {"timezone": "Asia/Tokyo"}), ("get_weather", {"city": "東京"})]),
        ("What is LoRA?", []),
        ("報酬モデルはどう訓練しますか?", []),
    ],
)
def test_a_tool_is_called_when_a_question_plainly_asks_for_it_and_never_twice(question, expected):
    assert calls(question, bundled_tools(ToolSettings(), Index())) == expected


def test_without_an_index_or_a_service_nothing_is_searched():
    assert list(bundled_tools(ToolSettings()).tools) == ["calculate", "now", "get_weather"]


def test_the_groups_of_the_user_reach_the_documents_and_never_the_web_search():
    index = Index()
    box = bundled_tools(ToolSettings(), index)
    staff = {"groups": frozenset({"staff"})}
    assert "All about leave." in box.call("search_documents", {"query": "leave"}, given=staff).content
    assert box.call("search_web", {"query": "leave"}, given=staff).ok
    assert index.asked == [("leave", frozenset({"staff"})), ("leave", frozenset())]
    assert not box.call("search_documents", {"query": "leave", "groups": ["admin"]}).ok
    assert "nothing was found" in box.call("search_documents", {"query": "nothing"}).content


def test_the_clock_knows_zones_and_names_near_ones():
    now = clock.clock_tool(clock.Clock("Asia/Tokyo"))
    assert now() == "2028-02-29 08:30 (Tuesday, 火曜日), Asia/Tokyo"
    assert now("Europe/Paris") == "2028-02-29 00:30 (Tuesday, 火曜日), Europe/Paris"
    for wrong in ("Asia/Tokio", "../../etc/passwd", "", "東京"):
        with pytest.raises(MigakiError, match="is no time zone"):
            now(wrong)
    with pytest.raises(MigakiError, match="Asia/Tokyo"):
        now("Asia/Tokio")


def test_today_and_tomorrow_are_those_of_the_people_who_ask_and_not_of_the_server():
    box = bundled_tools(ToolSettings(timezone="Europe/London"))
    assert calls("What time is it?", box) == [("now", {"timezone": "Europe/London"})]
    assert calls("Will it rain in London tomorrow?", box) == [("get_weather", {"city": "London", "date": TODAY})]
    assert box.call("now", {}).content == "2028-02-28 23:30 (Monday, 月曜日), Europe/London"
    assert "2月の平均" in bundled_tools(ToolSettings()).call("get_weather", {"city": "東京"}).content
    with pytest.raises(MigakiError, match=r"tools\.timezone = 'Asia/Tokio'.* is no time zone.*Asia/Tokyo"):
        ToolSettings.build("tools", {"timezone": "Asia/Tokio"})


def test_the_offline_weather_says_what_it_is_in_the_language_of_the_city():
    box = bundled_tools(ToolSettings())
    assert "平年値" in box.call("get_weather", {"city": "東京都", "date": "2026-08-01"}).content
    assert "August" in box.call("get_weather", {"city": "tokyo", "date": "2026-08-01"}).content
    unknown = box.call("get_weather", {"city": "Tokio"})
    assert not unknown.ok and "did you mean 'tokyo'" in unknown.content
    assert not box.call("get_weather", {"city": "Tokyo", "date": "someday"}).ok


def test_a_table_that_is_none_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("city,ja\nA,あ\n", encoding="utf-8")
    for path in (tmp_path / "t.csv", tmp_path / "absent.csv"):
        with pytest.raises(MigakiError, match="columns city, ja"):
            bundled_tools(ToolSettings(weather_table=str(path)))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url, query = urlparse(self.path), parse_qs(urlparse(self.path).query)
        self.server.seen.append((url.path, {name: values[0] for name, values in query.items()}, self.headers.get("Authorization")))
        body = self.server.answers[url.path]
        if callable(body):
            return body(self)
        self.reply(200, json.dumps(body).encode())

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen, server.answers, server.over = [], {}, threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def over_http(server, **more):
    settings = {
        "places_url": f"{server.url}/places?name={{city}}&language={{lang}}",
        "weather_url": f"{server.url}/forecast?lat={{latitude}}&lon={{longitude}}&start={{date}}",
        "search_url": f"{server.url}/search?q={{query}}&format=json",
    }
    return bundled_tools(ToolSettings(**settings | {"http_seconds": 2.0} | more))


def test_services_are_asked_and_their_answers_become_sentences(service, monkeypatch):
    monkeypatch.setenv("MIGAKI_SEARCH_KEY", "secret")
    service.answers = {
        "/places": {"results": [{"name": "東京都", "latitude": 35.7, "longitude": 139.7}]},
        "/forecast": {
            "daily": {"weather_code": [61], "temperature_2m_max": [12.5], "temperature_2m_min": [7]},
            "current": {"temperature_2m": 9.5},
        },
        "/search": {"results": [{"title": f"T{i}", "url": f"u{i}", "content": "c" * 900} for i in range(9)]},
    }
    box = over_http(service)
    assert box.call("get_weather", {"city": "東京 & 横浜"}).content == f"東京都の{TODAY}の天気は雨、最高12.5度、最低7度です(現在9.5度)。"
    assert box.call("get_weather", {"city": "Tokyo", "date": "2026-08-01"}).content == "東京都 on 2026-08-01: rain, 7 to 12.5 °C."
    found = box.call("search_web", {"query": "a&b=c d"}).content
    assert found.startswith("1. T0 (u0): ccc") and found.count("\n") == 2 and len(found) < 1000
    assert service.seen[0][:2] == ("/places", {"name": "東京 & 横浜", "language": "ja"}) and service.seen[0][2] is None
    assert service.seen[-1] == ("/search", {"q": "a&b=c d", "format": "json"}, "Bearer secret")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda handler: handler.reply(500, b"broken"), "status 500"),
        (lambda handler: handler.reply(200, b"<html>"), "not answer in JSON"),
        (lambda handler: handler.reply(200, b"[1]"), "a list where a JSON object"),
        (lambda handler: handler.reply(200, b"x" * (3 << 20)), "more than 2 MiB"),
        ({"results": {}}, "list under 'results'"),
        ({"results": []}, "nothing was found"),
    ],
)
def test_a_service_that_fails_becomes_a_message(service, answer, told):
    service.answers = {"/search": answer}
    returned = over_http(service).call("search_web", {"query": "x"})
    assert not returned.ok and told in returned.content


def test_a_service_that_hangs_becomes_a_message(service):
    service.answers = {"/search": lambda handler: handler.server.over.wait(20)}
    returned = over_http(service, http_seconds=0.3).call("search_web", {"query": "x"})
    assert not returned.ok and "within 0.3 s" in returned.content


def test_a_place_that_is_unknown_an_odd_forecast_and_no_service_at_all(service):
    service.answers = {"/places": {}, "/forecast": {"daily": {}}}
    assert "no place called 'Nowhere'" in over_http(service).call("get_weather", {"city": "Nowhere"}).content
    service.answers["/places"] = {"results": [{"latitude": 1, "longitude": 2}]}
    assert "unexpected form" in over_http(service).call("get_weather", {"city": "Tokyo"}).content
    settings = ToolSettings(search_url="http://127.0.0.1:1/{query}", http_seconds=1)
    assert "could not be reached" in bundled_tools(settings).call("search_web", {"query": "x"}).content
    assert (
        "place that nothing fills"
        in bundled_tools(ToolSettings(search_url=f"{service.url}/{{q}}")).call("search_web", {"query": "x"}).content
    )


def test_half_a_weather_service_is_refused():
    with pytest.raises(MigakiError, match="go together"):
        bundled_tools(ToolSettings(weather_url="http://127.0.0.1/{latitude}"))


@pytest.mark.alone
@pytest.mark.parametrize(
    "text",
    [
        "東京と" * 400 + "天気",
        "weather" + " in A, A and A" * 99,
        "1+" * 600,
        "1の" * 600,
        "ウェブで" + "を、" * 500,
        "search for " + "x up " * 200,
        "=" * 999,
        "です" * 500,
    ],
    ids=lambda text: text[:12],
)
def test_no_question_keeps_the_rules_busy(text, without_collection):
    box, start = bundled_tools(ToolSettings(), Index()), time.thread_time()
    next_call(None, [], box, text, [])
    assert time.thread_time() - start < 0.5
