"""The page's API: what streams in which order, what is kept, whose it is, and what a client that leaves costs."""

import asyncio
import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import tasks.chatbot.web
from tasks.inference.backend import Sampling
from tests.helpers.web import ABOUT, EN, SOURCE, MemoryChats, ScriptedEngine, app, ask, client

WEB = Path(tasks.chatbot.web.__file__).parent


def test_a_turn_streams_in_order_and_is_kept_before_its_end_is_told():
    chats = MemoryChats()
    events = ask(client(None, chats), "please reckon")
    names = [name for name, _ in events]
    assert names == ["begun", "found", "called", "returned", *["piece"] * len(EN), "ended"]
    said = dict(events)
    assert said["found"]["sources"][0]["heading"] == "Fine-tuning > LoRA" and said["returned"]["content"] == "42"
    assert said["ended"]["turn"]["answer"] == "".join(EN) and said["ended"]["turn"]["sentences"][1]["supported"] is False
    kept = chats.turns[said["begun"]["conversation"]]
    assert [turn.turn_id for turn in kept] == [said["ended"]["turn"]["turn_id"]]


def test_a_conversation_goes_on_where_it_was_and_can_be_listed_and_deleted():
    engine, chats = ScriptedEngine(), MemoryChats()
    http = client(engine, chats)
    conversation = ask(http, "What is\n LoRA?")[0][1]["conversation"]
    ask(http, "And perhaps?", conversation)
    heard = engine.heard[1][0]
    assert [m["content"] for m in heard.turns] == ["What is\n LoRA?", "".join(EN)] and heard.system == "Be brief."
    ask(http, "And then?", conversation)
    assert engine.heard[2][0].turns[-1]["content"] == f"From “{SOURCE.title}”: {SOURCE.text}"  # without "I am not sure"
    assert http.get("/api/conversations").json()["conversations"][0]["title"] == "What is LoRA?"
    messages = http.get(f"/api/conversations/{conversation}").json()["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * 3
    assert http.delete(f"/api/conversations/{conversation}").status_code == 204
    gone = http.get(f"/api/conversations/{conversation}")
    assert gone.status_code == 404 and conversation in gone.json()["error"]["message"]
    assert http.delete(f"/api/conversations/{conversation}").status_code == 404
    assert http.post("/api/chat", json={"question": "x", "conversation": conversation}).status_code == 404


def test_japanese_and_markup_come_back_as_they_were_sent():
    http = client()
    text = 'echo <script>alert("x")</script> 「量子化」とは? 𠮟る 👩‍💻\n</textarea>'
    events = ask(http, text)
    assert events[-1][1]["turn"]["answer"] == text
    messages = http.get(f"/api/conversations/{events[0][1]['conversation']}").json()["messages"]
    assert [m["content"] for m in messages] == [text, text]
    assert ask(http, "量子化とは?")[-1][1]["turn"]["lang"] == "ja"


def test_a_refusal_is_told_with_its_code():
    events = ask(client(), "how do I build a bomb")
    assert [name for name, _ in events] == ["begun", "refused", "piece", "ended"]
    assert events[1][1] == {"code": "harm.weapons", "side": "input"} and events[-1][1]["turn"]["reason"] == "refused"


def test_an_answer_that_fails_says_so_without_its_secrets_and_leaves_nothing_behind():
    chats = MemoryChats()
    events = ask(client(None, chats), "explode")
    assert [name for name, _ in events] == ["begun", "error"] and "secret" not in json.dumps(events)
    assert chats.conversations("") == []
    told = ask(client(None, chats), "too much")
    assert told[-1] == ("error", told[-1][1]) and "ask in fewer words" in told[-1][1]["message"]


def test_ratings_and_corrections_are_kept_for_ones_own_turns_alone():
    chats = MemoryChats()
    http = client(None, chats)
    turn = ask(http, "hello")[-1][1]["turn"]["turn_id"]
    assert http.post("/api/rate", json={"turn": turn, "rating": -1, "correction": " もっと短く。 "}).status_code == 204
    assert chats.ratings[turn] == (-1, "もっと短く。")
    assert http.post("/api/rate", json={"turn": "other", "rating": 1}).status_code == 404
    wrong = http.post("/api/rate", json={"turn": turn, "rating": 7})
    assert wrong.status_code == 422 and wrong.json()["error"]["param"] == "rating"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"question": ', "not valid JSON"),
        (b"[]", "JSON object"),
        (b"{}", "question: Field required"),
        (b'{"question": "  "}', "question is empty"),
        (b'{"question": "x", "conversatoin": "y"}', "conversatoin: Extra inputs"),
        (json.dumps({"question": "長" * 51}).encode(), "51 characters; at most 50"),
    ],
)
def test_bad_bodies_are_refused_in_words(body, words):
    answer = client(max_question=50).post("/api/chat", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and words in answer.json()["error"]["message"]


def test_stop_ends_the_answer_and_keeps_what_was_written():
    chats, http_box = MemoryChats(), []

    def between():
        if len(engine.heard) == 1 and http_box and engine.stops and not engine.stops[0].is_set() and between.pieces > 2:
            running = http_box[0].app.state.service.running
            assert http_box[0].post("/api/stop", json={"answer": next(iter(running))}).status_code == 204
        between.pieces += 1

    between.pieces = 0
    engine = ScriptedEngine(between, endless=True)
    http_box.append(client(engine, chats))
    turn = ask(http_box[0], "go on")[-1][1]["turn"]
    assert turn["finish"] == "stopped" and turn["answer"].startswith("and on ")
    assert http_box[0].post("/api/stop", json={"answer": "unknown"}).status_code == 404


async def leave_after(application, body: dict, chunks: int) -> list[bytes]:
    """Send a question and hang up after some chunks of the answer."""
    received, gone = [], asyncio.Event()
    sent = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

    async def receive():
        for message in sent:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            received.append(message["body"])
        if len(received) >= chunks:
            gone.set()
            await asyncio.sleep(0)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/api/chat", "raw_path": b"/api/chat", "query_string": b"", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8400),
        "headers": [(b"host", b"127.0.0.1:8400"), (b"content-type", b"application/json")],
    }  # fmt: skip
    await application(scope, receive, send)
    for _ in range(100):
        if not application.state.service.slots.active:
            break
        await asyncio.sleep(0.02)
    return received


def test_a_client_that_leaves_stops_its_answer_which_is_kept():
    engine, chats = ScriptedEngine(lambda: time.sleep(0.005), endless=True), MemoryChats()
    application = app(engine, chats)
    received = asyncio.run(leave_after(application, {"question": "go on"}, 4))
    assert len(received) >= 4 and engine.stops[0].is_set()
    (turns,) = chats.turns.values()
    assert turns[0].finish == "stopped" and turns[0].answer
    service = application.state.service
    assert (service.slots.active, service.slots.waiting, service.running, service.talking) == (0, 0, {}, set())


def test_the_time_limit_stops_an_answer():
    engine = ScriptedEngine(lambda: time.sleep(0.01), endless=True)
    assert ask(client(engine, answer_seconds=0.2), "go on")[-1][1]["turn"]["finish"] == "stopped"


def test_one_question_at_a_time_in_one_conversation_and_many_beside_each_other():
    both = threading.Barrier(2, timeout=10)
    engine, chats = ScriptedEngine(), MemoryChats()
    http = client(engine, chats)
    conversation = ask(http, "first")[0][1]["conversation"]
    engine.between = both.wait
    answers = []
    threads = [threading.Thread(target=lambda q=q: answers.append(ask(http, f"echo {q}"))) for q in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(events[-1][1]["turn"]["answer"] for events in answers) == ["echo a", "echo b"]

    def second():
        engine.between = lambda: None
        busy.append(http.post("/api/chat", json={"question": "second", "conversation": conversation}).status_code)

    busy, engine.between = [], second
    assert ask(http, "echo", conversation)[-1][0] == "ended" and busy == [409]


def test_the_page_and_its_parts_are_served_and_run_no_inline_script():
    http = client()
    page = http.get("/")
    assert page.status_code == 200 and "script-src 'self'" in page.headers["content-security-policy"]
    assert (
        "<script>" not in page.text
        and " style=" not in page.text
        and "onclick" not in page.text
        and "//" not in page.text.replace("<!DOCTYPE", "")
    )
    for name in (
        "app.js",
        "api.js",
        "panel.js",
        "report.js",
        "i18n.js",
        "markdown.js",
        "theme.js",
        "approvals.js",
        "monitor.js",
        "style.css",
        "approvals.css",
        "monitor.css",
        "icon.svg",
    ):
        assert http.get(f"/static/{name}").status_code == 200, name
    assert http.get("/docs").status_code == 404 and http.get("/static/../app.py").status_code == 404


def test_what_goes_wrong_is_told_in_japanese_too():
    codes = set()
    for module in WEB.glob("*.py"):
        if "v1" not in module.name and module.name != "completing.py":  # those are for programs
            codes |= set(re.findall(r'ApiError\(\s*\d{3},\s*"(\w+)"', module.read_text(encoding="utf-8")))
    words = (WEB / "static" / "i18n.js").read_text(encoding="utf-8").partition("const ERRORS")[2].partition("  ja: {")[2]
    told = dict(re.findall(r'^    (\w+): "(.+)",$', words, re.M))
    assert codes - {"invalid_token", "unsupported_media_type"} <= told.keys()  # the first opens the sign-in, the second no page meets
    assert not any(text.isascii() for text in told.values())


def test_what_is_served_is_told():
    about = client().get("/api/about").json()
    assert (about["model"], about["index"], about["documents"]) == ("SmolLM2-135M-Instruct", "9b12aa00ff31", 14)
    http = client()
    for release, unreleased in (("3fa9", ""), ("", "unreleased: chat.temperature = 1.0")):
        http.app.state.service.about = replace(ABOUT, release=release, unreleased=unreleased)
        for told in (http.get("/api/about").json(), http.get("/health").json()):
            assert (told["release"], told["unreleased"]) == (release, unreleased)


class Full(MemoryChats):
    """Keeps nothing: the disk is full."""

    def keep(self, conversation_id, turn):
        raise OSError("No space left on device")

    def note(self, turn):
        raise OSError("No space left on device")

    def rate(self, turn_id, owner, rating, correction):
        raise OSError("No space left on device")


def test_an_answer_that_cannot_be_kept_is_shown_and_said_so():
    http = client(ScriptedEngine(), Full())
    events = ask(http, "hello")
    assert events[-1][0] == "ended" and events[-1][1]["kept"] is False and events[-1][1]["turn"]["answer"]
    told = http.post("/api/rate", json={"turn": "t", "rating": 1})
    assert told.status_code == 507 and told.json()["error"]["code"] == "not_kept"
    assert ask(client(ScriptedEngine()), "hello")[-1][1]["kept"] is True
    answer = http.post("/v1/chat/completions", json={"model": "migaki", "messages": [{"role": "user", "content": "hello"}]})
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"]


def chat(http, **chosen):
    return http.post("/api/chat", json={"question": "hello", "generation": chosen})


def test_how_answers_are_generated_is_the_servers_to_say_unless_it_lets_readers_choose():
    engine = ScriptedEngine()
    http = client(engine)
    assert http.get("/api/about").json()["generation"] is None
    refused = chat(http, temperature=1.0)
    assert refused.status_code == 403 and refused.json()["error"]["code"] == "generation_fixed" and engine.heard == []
    assert chat(http).status_code == 200 and engine.heard[0][3] is None


def test_the_panel_offers_ranges_and_what_is_chosen_is_none_of_the_releases():
    engine, chats = ScriptedEngine(), MemoryChats()
    http = client(engine, chats, generation_panel=True, max_answer_tokens=200)
    assert http.get("/api/about").json()["generation"] == {
        "temperature": {"least": 0, "most": 2, "step": 0.05, "own": 0.3},
        "top_p": {"least": 0.05, "most": 1, "step": 0.05, "own": 0.9},
        "max_tokens": {"least": 16, "most": 200, "step": 16, "own": 96},
    }
    assert chat(http, temperature=1.5, top_p=0.9, max_tokens=200).status_code == 200
    assert chat(http).status_code == 200
    chosen, plain = (heard[3] for heard in engine.heard)
    assert (chosen.temperature, chosen.top_p, chosen.max_new_tokens, chosen.top_k) == (1.5, 0.9, 200, 50) and plain is None
    first, second = (turns[0] for turns in chats.turns.values())
    assert first.unreleased == "unreleased: chat.temperature = 1.5, chat.max_new_tokens = 200" and second.unreleased == ""
    for wrong in ({"temperature": 2.5}, {"top_p": 0}, {"max_tokens": 201}, {"max_tokens": 0}, {"top_k": 3}):
        answer = chat(http, **wrong)
        assert answer.status_code == 422 and answer.json()["error"]["param"] == f"generation.{next(iter(wrong))}"


def test_where_beams_search_the_panel_has_the_length_alone():
    engine = ScriptedEngine()
    engine.sampling = lambda: Sampling(num_beams=4)
    http = client(engine, generation_panel=True)
    assert list(http.get("/api/about").json()["generation"]) == ["max_tokens"]
    assert chat(http, temperature=1.0).status_code == 422 and chat(http, max_tokens=32).status_code == 200
