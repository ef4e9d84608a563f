"""Who is let in, from where, how often and with how much."""

import asyncio
import threading

import pytest

from tasks.chatbot.web.auth import check_exposure, is_loopback
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.limits import REMEMBERED, Buckets, Slots
from tasks.chatbot.web.tokens import NO_TOKENS, TokenFile
from tasks.errors import MigakiError
from tests.helpers.web import MemoryChats, ScriptedEngine, ask, client

ANNA, BEN = "anna-0123456789abcdef", "ben-0123456789abcdef"


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# who may ask\n{ANNA}:staff, board:Anna\n\n{BEN}\n", encoding="utf-8")
    return TokenFile(file).tokens


def with_token(token, **rest):
    return {"headers": {"Authorization": f"Bearer {token}"}, **rest}


def test_a_token_file_names_users_with_groups(tokens):
    anna, ben = tokens.find(ANNA), tokens.find(BEN)
    assert anna.groups == {"staff", "board"} and anna.name == "Anna" and ben.groups == frozenset()
    assert anna.owner != ben.owner and ANNA not in anna.owner and tokens.find(ANNA[:-1]) is None and tokens.find("") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("short\n", "line 1.*at least 16"),
        (f"{ANNA}\n{ANNA}:staff\n", "line 2.*there already"),
        ("# nothing\n", "holds no token"),
        ("パスワードパスワードパスワードです\n", "ASCII"),
    ],
)
def test_token_files_that_would_not_protect_are_refused(tmp_path, content, words):
    file = tmp_path / "tokens"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(MigakiError, match=words):
        TokenFile(file)
    with pytest.raises(MigakiError, match="cannot be read"):
        TokenFile(tmp_path / "absent")


def test_beyond_loopback_nothing_starts_without_tokens(tokens):
    assert [
        is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8", "0.0.0.0", "::", "192.168.1.2", "example.org")
    ] == [
        *[True] * 4,
        *[False] * 4,
    ]
    with pytest.raises(MigakiError, match="--token-file"):
        check_exposure("0.0.0.0", NO_TOKENS)
    check_exposure("0.0.0.0", tokens)
    check_exposure("localhost", NO_TOKENS)


def test_only_known_tokens_are_answered_and_the_page_can_ask_for_one(tokens):
    http = client(tokens=tokens)
    assert http.get("/").status_code == 200 and http.get("/health").json()["status"] == "ok"
    for path in ("/api/about", "/api/conversations", "/v1/models", "/metrics"):
        refused = http.get(path)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer", path
        assert http.get(path, **with_token("wrong-0123456789abcdef")).status_code == 401
        assert http.get(path, **with_token(ANNA)).status_code == 200
    assert http.get("/api/about", **with_token(ANNA)).json()["user"] == "Anna"
    assert http.get("/api/about", headers={"Authorization": f"Basic {ANNA}"}).status_code == 401


def test_groups_reach_the_search_and_conversations_stay_with_their_owner(tokens):
    engine, chats = ScriptedEngine(), MemoryChats()
    http = client(engine, chats, tokens=tokens)
    events = ask_as(http, ANNA, "hello")
    assert engine.heard[0][2] == {"staff", "board"}
    conversation, turn = events[0][1]["conversation"], events[-1][1]["turn"]["turn_id"]
    assert http.get("/api/conversations", **with_token(BEN)).json()["conversations"] == []
    assert http.get(f"/api/conversations/{conversation}", **with_token(BEN)).status_code == 404
    assert http.delete(f"/api/conversations/{conversation}", **with_token(BEN)).status_code == 404
    assert http.post("/api/chat", json={"question": "x", "conversation": conversation}, **with_token(BEN)).status_code == 404
    assert http.post("/api/rate", json={"turn": turn, "rating": 1}, **with_token(BEN)).status_code == 404
    assert http.get(f"/api/conversations/{conversation}", **with_token(ANNA)).status_code == 200


def ask_as(http, token, question):
    http.headers["Authorization"] = f"Bearer {token}"
    events = ask(http, question)
    del http.headers["Authorization"]
    return events


def test_nobody_can_stop_anothers_answer(tokens):
    seen = []

    def between():
        answer = next(iter(http.app.state.service.running))
        seen.append(http.post("/api/stop", json={"answer": answer}, **with_token(BEN)).status_code)

    http = client(ScriptedEngine(between), tokens=tokens)
    assert ask_as(http, ANNA, "hello")[-1][1]["turn"]["finish"] == "stop" and set(seen) == {404}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8400"}, 200),
        ({"Host": "[::1]:8400"}, 200),
        ({"Origin": "http://127.0.0.1:8400"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8400"}, 403),
        ({"Host": "evil.example@127.0.0.1:x"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://localhost:8400"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_sites_in_the_same_browser_are_refused(headers, status):
    assert client().get("/api/conversations", headers=headers).status_code == status


def test_a_form_of_another_site_cannot_post():
    answer = client().post("/api/chat", content=b'{"question": "x"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_names_behind_a_proxy_are_allowed_by_setting(tokens):
    http = client(tokens=tokens, allowed_hosts=["chat.example.org"], headers={"Authorization": f"Bearer {ANNA}"})
    assert http.get("/api/about", headers={"Host": "chat.example.org", "Origin": "https://chat.example.org"}).status_code == 200
    assert http.get("/api/about", headers={"Host": "other.example.org"}).status_code == 403


def test_large_bodies_are_refused_said_or_not(tokens):
    http = client(max_body_kb=1)
    large = b'{"question": "' + b"x" * 2000 + b'"}'
    for content in (large, iter([large[:1000], large[1000:]])):
        answer = http.post("/api/chat", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413 and "1 KiB" in answer.json()["error"]["message"]
    assert "content-security-policy" in answer.headers


def test_a_user_that_asks_too_often_waits_and_others_do_not(tokens):
    http = client(tokens=tokens, burst=3, requests_per_minute=1)
    codes = [http.get("/api/about", **with_token(ANNA)).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429] and http.get("/api/about", **with_token(BEN)).status_code == 200
    refused = http.get("/api/about", **with_token(ANNA))
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    guesses = [http.get("/api/about", **with_token(f"guess-{i:016}")).status_code for i in range(4)]
    assert guesses == [401, 401, 401, 429]


def test_a_bucket_fills_again_and_strangers_are_forgotten():
    now = [0.0]
    buckets = Buckets(60, 2, lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1.0]
    now[0] = 0.5
    assert buckets.take("a") == pytest.approx(0.5)
    now[0] = 10
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1.0]
    for i in range(REMEMBERED + 5):
        buckets.take(f"b{i}")
    assert len(buckets._buckets) == REMEMBERED and buckets.take("a") == 0


def test_slots_keep_order_and_turn_away_when_full():
    async def scene():
        slots, order = Slots(1, 2, 60), []

        async def visitor(name):
            await slots.take()
            order.append(name)
            await asyncio.sleep(0.01)
            slots.give()

        first = [asyncio.create_task(visitor(name)) for name in "abc"]
        await asyncio.sleep(0)
        with pytest.raises(ApiError, match="too many"):
            slots.check()
        await asyncio.gather(*first)
        return order, slots.active, slots.waiting

    assert asyncio.run(scene()) == (["a", "b", "c"], 0, 0)


def test_the_next_slot_goes_to_whoever_has_the_fewest():
    async def scene():
        slots, order = Slots(2, 50, 60, limit_each=2, places_each=10), []

        async def visitor(name):
            await slots.take(name)
            order.append(name)
            await asyncio.sleep(0.005)
            slots.give(name)

        greedy = [asyncio.create_task(visitor("greedy")) for _ in range(8)]
        await asyncio.sleep(0)
        others = [asyncio.create_task(visitor(name)) for name in "abc"]
        await asyncio.gather(*greedy, *others)
        return order, slots.active, slots.waiting, dict(slots._running)

    order, *rest = asyncio.run(scene())
    assert order[:2] == ["greedy"] * 2 and set(order[2:6]) >= {"a", "b", "c"} and rest == [0, 0, {}]


def test_one_user_cannot_have_or_wait_for_all_slots():
    async def scene():
        slots = Slots(4, 50, 0.2, limit_each=2, places_each=1)
        await slots.take("greedy")
        await slots.take("greedy")
        third = asyncio.create_task(slots.take("greedy"))
        await asyncio.sleep(0)
        with pytest.raises(ApiError, match="your questions") as refused:
            slots.check("greedy")
        await slots.take("ann")  # at once: two places are free, and not for the greedy one
        with pytest.raises(ApiError, match="no turn came"):
            await third
        third = asyncio.create_task(slots.take("greedy"))
        await asyncio.sleep(0)
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        return refused.value.status, slots.active, slots.waiting

    assert asyncio.run(scene()) == (429, 3, 0)


def test_who_waits_too_long_for_a_slot_is_told_so():
    async def scene():
        slots = Slots(1, 2, 0.2)
        await slots.take()
        with pytest.raises(ApiError, match=r"0\.2 seconds"):
            await slots.take()
        return slots.active, slots.waiting

    assert asyncio.run(scene()) == (1, 0)


def test_more_than_the_limit_wait_and_more_than_that_are_sent_away():
    codes, http_box = [], []
    inside = threading.Event()

    def between():
        if not inside.is_set():
            inside.set()
            codes.append(http_box[0].post("/api/chat", json={"question": "x"}).status_code)
            codes.append(http_box[0].get("/health").json()["active"])

    http_box.append(client(ScriptedEngine(between), max_concurrent=1, max_waiting=0))
    assert ask(http_box[0], "hello")[-1][0] == "ended" and codes == [503, 1]
    assert http_box[0].get("/health").json()["active"] == 0


def test_prometheus_is_told_what_happened():
    http = client()
    ask(http, "hello")
    ask(http, "a bomb")
    http.get("/nowhere")
    text = http.get("/metrics").text
    assert 'migaki_answers_total{channel="page",finish="stop",reason="answered"} 1.0' in text
    assert 'migaki_refusals_total{code="harm.weapons",side="input"} 1.0' in text
    assert 'migaki_tokens_total{channel="page"} 3.0' in text
    assert "migaki_first_token_seconds_count 2.0" in text and "migaki_active 0.0" in text
    assert (
        "migaki_model_requests_total 7.0" in text and "migaki_model_reused_tokens_total 40.0" in text and "migaki_model_running 2.0" in text
    )
    assert 'migaki_requests_total{code="200",method="POST",path="/api/chat"} 2.0' in text and "nowhere" not in text
