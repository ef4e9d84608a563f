"""Backends: many threads ask one model, text streams whole characters, what breaks is said and costs nobody else an answer."""

import gc
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM

from tasks.errors import MigakiError
from tasks.inference.backend import Sampling, Unavailable
from tasks.inference.batching import BatchLimits
from tasks.inference.grammar import complete_json
from tasks.inference.local import LocalModel
from tasks.inference.locks import FairLock, ForwardLock
from tasks.inference.request import Detokenizer
from tasks.inference.server import OpenAIServer
from tasks.models.quantized import make_variant
from tasks.prompts.template import encode_prompt
from tests.models import FAMILIES, save_tiny, tiny_llama, tiny_tokenizer

GREEDY = Sampling(max_new_tokens=12, temperature=0.0, no_repeat_ngram=0)


def ask(text):
    return [{"role": "user", "content": text}]


def answer(backend, text, sampling=GREEDY):
    """(text, tokens, reason)."""
    deltas = list(backend.stream(ask(text), sampling, threading.Event()))
    assert all(delta.reason is None for delta in deltas[:-1])
    return "".join(delta.text for delta in deltas), sum(delta.tokens for delta in deltas), deltas[-1].reason


@pytest.fixture
def local():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny", limits=BatchLimits(max_rows=4))
    yield backend
    backend.close()


def bloom():
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=260, hidden_size=32, n_layer=2, n_head=4)).eval()


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_japanese_comes_in_whole_characters():
    tokenizer = tiny_tokenizer()  # a token is a byte
    text = "磨き粉 and 猫🐈。"
    detokenizer = Detokenizer(tokenizer)
    said = [detokenizer.add(token) for token in tokenizer(text)["input_ids"]]
    assert "".join(said) + detokenizer.flush() == text and all("\ufffd" not in piece for piece in said)
    assert [piece for piece in said if piece][:3] == ["磨", "き", "粉"]


def test_half_a_character_at_the_end_is_left_out_and_broken_bytes_do_not_hold_the_rest_back():
    tokenizer = tiny_tokenizer()
    cut = Detokenizer(tokenizer)
    said = [cut.add(token) for token in tokenizer("猫")["input_ids"][:2]]
    assert said == ["", ""] and cut.flush() == ""
    lead = tokenizer("猫")["input_ids"][0]
    broken = Detokenizer(tokenizer)
    said = [broken.add(lead) for _ in range(30)]
    assert any(said)
    assert broken.add(tokenizer("a")["input_ids"][0]).endswith("a")


def test_many_threads_get_what_each_gets_alone(local):
    questions = [f"{word} {i}" * (1 + i % 5) for i, word in enumerate(["hello", "磨く", "what", "どう"] * 3)]
    alone = [answer(local, question) for question in questions]
    found = [None] * len(questions)

    def run(i):
        found[i] = answer(local, questions[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone and all(tokens == 12 or reason == "stop" for _, tokens, reason in found)
    stats = local.stats
    assert stats.requests == 24 and stats.failed == stats.waiting == stats.running == 0
    assert stats.tokens == sum(tokens for _, tokens, _ in alone + found) and stats.reused_tokens > 0 and stats.steps < stats.tokens


def test_an_end_token_ends_an_answer_and_is_not_text(local):
    text, _, _ = answer(local, "hello")
    local._ends.add(tiny_tokenizer()("\x1e")["input_ids"][0])  # what this model says second
    ended, tokens, reason = answer(local, "hello")
    assert (tokens, reason) == (2, "stop") and text.startswith(ended) and "\x1e" not in ended


def test_stop_and_a_closed_iterator_end_an_answer_and_free_its_row(local):
    local._ends.clear()
    stop = threading.Event()
    long = Sampling(max_new_tokens=400, temperature=0.0)
    deltas = local.stream(ask("hello"), long, stop)
    next(deltas)
    stop.set()
    assert list(deltas)[-1].reason == "stopped"
    left = local.stream(ask("hello"), long, threading.Event())
    next(left)
    left.close()
    until(lambda: local.stats.running == 0)
    assert local.stats.tokens < 400


def test_more_than_the_rows_wait_their_turn_and_may_give_up(local):
    long = Sampling(max_new_tokens=400, temperature=0.0, no_repeat_ngram=0)
    local._ends.clear()
    talking = [local.stream(ask(f"q{i}"), long, threading.Event()) for i in range(4)]
    for deltas in talking:
        next(deltas)
    stop, got = threading.Event(), []
    waiting = threading.Thread(target=lambda: got.extend(local.stream(ask("late"), long, stop)))
    waiting.start()
    until(lambda: local.stats.waiting == 1)
    stop.set()
    waiting.join(10)
    assert [delta.reason for delta in got] == ["stopped"] and got[0].tokens == 0
    for deltas in talking:
        deltas.close()


def test_too_many_waiting_are_refused():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny", max_waiting=0)
    with pytest.raises(Unavailable, match="0 questions are waiting already"):
        answer(backend, "hello")


def test_a_prompt_that_fills_the_context_is_refused_and_a_long_answer_ends_with_it(local):
    with pytest.raises(MigakiError, match="of the 512 that tiny can read"):
        answer(local, "x" * 600)
    length = local.count_tokens(ask("x" * 480))
    local._ends.clear()
    assert answer(local, "x" * 480, Sampling(max_new_tokens=100, temperature=0.0))[1:] == (512 - length, "length")


def test_a_seed_repeats_an_answer(local):
    how = {"max_new_tokens": 20, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    assert answer(local, "hello", Sampling(**how, seed=1)) == answer(local, "hello", Sampling(**how, seed=1))
    assert len({answer(local, "hello", Sampling(**how))[0] for _ in range(4)}) > 1


def test_a_model_that_breaks_fails_those_in_flight_alone(local, monkeypatch):
    step, broken = local._decoding.batch.step, threading.Event()

    def breaks():
        if broken.is_set():
            broken.clear()
            raise MemoryError("no more")
        return step()

    monkeypatch.setattr(local._decoding.batch, "step", breaks)
    before = answer(local, "hello")
    broken.set()
    with pytest.raises(MigakiError, match=r"MemoryError: no more.*ask again"):
        answer(local, "hello")
    assert answer(local, "hello") == before and local.stats.failed == 1


def test_closing_fails_what_is_in_flight_and_refuses_more():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny")
    backend._ends.clear()
    deltas = backend.stream(ask("hello"), Sampling(max_new_tokens=400, temperature=0.0), threading.Event())
    next(deltas)
    backend.close()
    with pytest.raises(MigakiError, match="closed"):
        list(deltas)
    with pytest.raises(MigakiError, match="closed"):
        answer(backend, "hello")


def test_a_backend_that_nobody_uses_takes_its_thread_with_it():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny")
    answer(backend, "hello")
    thread = backend._decoding._thread
    del backend
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.slow
def test_a_program_that_ends_in_the_middle_of_an_answer_ends():
    code = """
import threading, time
from tasks.inference.backend import Sampling
from tasks.inference.local import LocalModel
from tests.models import tiny_llama, tiny_tokenizer
backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny")
backend._ends.clear()
for beams in (1, 2):
    how = Sampling(max_new_tokens=500, num_beams=beams)
    threading.Thread(target=lambda: list(backend.stream([{"role": "user", "content": "x"}], how, threading.Event())), daemon=True).start()
while not (backend.stats.tokens and backend._unbatched._live):
    time.sleep(0.01)
print("over")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stdout) == (0, "over\n") and "terminate" not in done.stderr


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_cannot_be_batched_says_the_same_one_at_a_time(family):
    backend = LocalModel(FAMILIES[family](), tiny_tokenizer(), family)
    how = Sampling(max_new_tokens=12, temperature=0.8, seed=5)
    batched = answer(backend, "hello", how), answer(backend, "hello"), backend.choose(ask("hello"), ["yes", "no"])
    backend.batched = False
    assert (answer(backend, "hello", how), answer(backend, "hello")) == batched[:2]
    assert backend.choose(ask("hello"), ["yes", "no"]) == pytest.approx(batched[2], abs=1e-4)
    backend.close()


def test_an_architecture_with_a_cache_of_its_own_kind_answers():
    backend = LocalModel(bloom(), tiny_tokenizer(), "bloom")
    assert not backend.batched
    _, tokens, reason = answer(backend, "hello")
    assert tokens <= 12 and reason in ("stop", "length")
    backend._ends.clear()
    stop = threading.Event()
    deltas = backend.stream(ask("hello"), Sampling(max_new_tokens=400), stop)
    next(deltas)
    stop.set()
    assert list(deltas)[-1].reason == "stopped"


def test_beams_answer_while_others_stream(local):
    beams = Sampling(max_new_tokens=12, num_beams=3, no_repeat_ngram=2)
    expected = answer(local, "hello"), answer(local, "hello", beams)
    got = []
    thread = threading.Thread(target=lambda: got.append(answer(local, "hello", beams)))
    thread.start()
    got.insert(0, answer(local, "hello"))
    thread.join()
    assert tuple(got) == expected and expected[1][2] in ("stop", "length")


def test_choosing_reads_the_messages_once(local):
    options = ["calculate", "get_weather", "search_documents", "none"]
    first = local.choose(ask("what is 2 + 2?" * 10), options)
    asked = local.stats.prompt_tokens
    reused = local.stats.reused_tokens
    assert len(first) == 4 and all(score < 0 for score in first)
    assert reused >= 3 * (local.count_tokens(ask("what is 2 + 2?" * 10)) - 1)
    assert local.choose(ask("what is 2 + 2?" * 10), options) == pytest.approx(first, abs=1e-4)
    assert local.stats.prompt_tokens == 2 * asked
    with pytest.raises(MigakiError, match="empty"):
        local.choose(ask("hi"), ["a", ""])


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


def test_json_is_decoded_among_others_as_it_is_alone(local):
    alone = complete_json(local.model, local.tokenizer, [*encode_prompt(local.tokenizer, ask("where?")), 72, 58], SCHEMA, 30)
    expected = answer(local, "hello")
    prefix, got = local.tokenizer.decode([72, 58]), []
    threads = [threading.Thread(target=lambda: got.append(local.complete_json(ask("where?"), SCHEMA, prefix, 30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert answer(local, "hello") == expected
    for thread in threads:
        thread.join()
    assert got == [alone] * 3 and set(json.loads(alone)) == {"city", "days"}
    local.batched = False
    assert local.complete_json(ask("where?"), SCHEMA, prefix, 30) == alone
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    assert local.complete_json(ask("where?"), nothing, "", 5) == "{}"


def test_a_fair_lock_goes_to_whoever_has_waited_longest():
    lock, order = FairLock(), []
    lock.acquire()

    def take(i):
        lock.acquire()
        order.append(i)
        lock.release()

    threads = []
    for i in range(5):
        threads.append(threading.Thread(target=take, args=(i,)))
        threads[-1].start()
        until(lambda: len(lock._waiting) == i + 1)
    lock.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_passes_of_two_threads_never_overlap():
    model, inside, most = tiny_llama(), [], []
    lock = ForwardLock(model)

    def enter(*_):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.001)

    model.model.layers[0].register_forward_pre_hook(enter)
    model.model.layers[-1].register_forward_pre_hook(lambda *_: inside.clear())

    def passes(priority):
        for _ in range(10):
            if priority:
                with lock.priority():
                    model(torch.tensor([[1, 2]]))
            else:
                model(torch.tensor([[1, 2]]))

    threads = [threading.Thread(target=passes, args=(priority,)) for priority in (True, False, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) == 30


class Server(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol as each test wants it: `plan` gives (status, body or SSE events) for a request's body, in turn."""

    plan, seen = [], []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers.get("Authorization"), body))
        status, what = self.plan.pop(0)
        self.send_response(status)
        self.end_headers()
        for part in [what] if isinstance(what, dict) else what:
            if callable(part):
                part()
            else:
                self.wfile.write(
                    (json.dumps(part) if part is what else f"data: {part if isinstance(part, str) else json.dumps(part)}\n\n").encode()
                )
                self.wfile.flush()

    def do_GET(self):
        status, what = self.plan.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(what).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("tasks.inference.server.PAUSE", 0.01)
    handler = type("Planned", (Server,), {"plan": [], "seen": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield handler
    http.shutdown()
    http.server_close()
    thread.join()


def piece(text=None, reason=None):
    return {"choices": [{"delta": {"content": text} if text else {}, "finish_reason": reason}]}


def whole(text, reason="stop"):
    return (200, {"choices": [{"message": {"content": text}, "finish_reason": reason}]})


def test_a_server_streams_and_is_asked_as_the_protocol_says(server):
    server.plan += [(200, [piece("磨"), piece("き"), piece(reason="length"), {"choices": [], "usage": {"completion_tokens": 5}}, "[DONE]"])]
    remote = OpenAIServer(server.url, "m", "secret")
    how = Sampling(max_new_tokens=9, temperature=0.5, top_k=7, top_p=0.8, seed=3)
    assert answer(remote, "hi", how) == ("磨き", 5, "length")
    path, key, body = server.seen[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert body | {"stream_options": None} == {
        "model": "m",
        "messages": ask("hi"),
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": 7,
        "seed": 3,
        "stream": True,
        "stream_options": None,
    }
    assert remote.stats.requests == 1 and remote.stats.tokens == 5 and remote.stats.running == 0


def test_a_strict_server_is_asked_again_without_extensions_and_ever_after(server):
    done = (200, [piece("ok"), piece(reason="stop"), "[DONE]"])
    server.plan += [(400, {"error": "top_k is not permitted"}), done, done]
    remote = OpenAIServer(server.url + "/v1/", "m")
    assert answer(remote, "hi", Sampling()) == answer(remote, "hi", Sampling()) == ("ok", 1, "stop")
    assert ["top_k" in body for _, _, body in server.seen] == [True, False, False]


def test_a_busy_server_is_asked_again_before_the_first_byte(server):
    server.plan += [(503, {}), (429, {}), (200, [piece("ok"), piece(reason="stop"), "[DONE]"])]
    assert answer(OpenAIServer(server.url, "m"), "hi")[0] == "ok"


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ([(401, {})], "refuses the key"),
        ([(404, {"error": "no"})], "no model 'm'"),
        ([(500, {"error": "boom"})] * 3, r"failed 3 times \(500.*boom"),
        ([(400, {"error": "max_tokens"})] * 2, "refuses the request.*max_tokens"),
        ([(200, [piece("half")])], "broke off in the middle"),
        ([(200, [piece("half"), {"error": "out of memory"}])], "broke off: out of memory"),
        ([(200, ["<html>"])], "does not speak OpenAI's protocol"),
    ],
)
def test_what_goes_wrong_is_said_with_the_address(server, plan, said):
    server.plan += plan
    remote = OpenAIServer(server.url, "m", "secret")
    with pytest.raises(MigakiError, match=said) as error:
        answer(remote, "hi")
    assert server.url in str(error.value) and "secret" not in str(error.value) and remote.stats.failed == 1
    assert isinstance(error.value, Unavailable) == (said != "refuses the request.*max_tokens")  # that one the asker can mend


def test_nobody_there_and_nothing_said(server, monkeypatch):
    with pytest.raises(MigakiError, match=r"no server answers at http://127.0.0.1:9/v1"):
        answer(OpenAIServer("http://127.0.0.1:9", "m"), "hi")
    for wrong in ("127.0.0.1:8000", "ftp://host", "http://"):
        with pytest.raises(MigakiError, match="expected is something like"):
            OpenAIServer(wrong, "m")
    silent = threading.Event()
    server.plan += [(200, [piece("a"), lambda: silent.wait(5)])]
    with pytest.raises(MigakiError, match=r"said nothing for 0.2 seconds"):
        answer(OpenAIServer(server.url, "m", silence=0.2), "hi")
    silent.set()


@pytest.mark.alone
def test_a_silent_server_does_not_keep_anybody_from_stopping(server):
    silent, stop = threading.Event(), threading.Event()
    server.plan += [(200, [piece("a"), lambda: silent.wait(20)])]
    deltas = OpenAIServer(server.url, "m").stream(ask("hi"), GREEDY, stop)
    assert next(deltas).text == "a"
    stop.set()
    start = time.monotonic()
    assert [delta.reason for delta in deltas] == ["stopped"] and time.monotonic() - start < 5
    silent.set()


def test_json_is_asked_for_in_both_dialects(server):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    remote = OpenAIServer(server.url, "m")
    server.plan += [whole('{"n": 1}')]
    assert remote.complete_json(ask("hi"), schema, "", 20) == '{"n": 1}'
    assert server.seen[0][2]["response_format"]["json_schema"]["schema"] == schema
    server.plan += [(400, {}), (400, {}), whole('{"n": 2}'), whole('{"n": 3}')]
    assert remote.complete_json(ask("hi"), schema, "n is ", 20) == '{"n": 2}'  # neither extensions nor response_format
    assert remote.complete_json(ask("hi"), schema, "", 20) == '{"n": 3}'
    assert [("guided_json" in body, "continue_final_message" in body) for _, _, body in server.seen[1:]] == [
        (False, True),
        (False, False),
        (True, False),
        (True, False),
    ]
    assert server.seen[1][2]["messages"][-1] == {"role": "assistant", "content": "n is "}
    server.plan += [whole("I am a poet", "stop"), whole("I am a", "length"), whole('{"n": 1', "length")]
    for said in ("does not enforce", "does not enforce", "allow more tokens"):
        with pytest.raises(MigakiError, match=said):
            remote.complete_json(ask("hi"), schema, "", 20)


def test_the_server_chooses_among_options_alone(server):
    remote = OpenAIServer(server.url, "m")
    server.plan += [whole('"b"'), whole('"z"')]
    assert remote.choose(ask("hi"), ["a", "b"]) == [float("-inf"), 0.0]
    with pytest.raises(MigakiError, match="only a, b were allowed"):
        remote.choose(ask("hi"), ["a", "b"])


def test_connecting_checks_the_model_and_learns_its_context(server):
    known = {"data": [{"id": "polished", "max_model_len": 2000}]}
    server.plan += [(200, known), (503, {}), (200, known), (404, {}), (401, {})]
    assert OpenAIServer.connect(server.url, "polished").context == 2000
    with pytest.raises(MigakiError, match="did you mean 'polished'"):
        OpenAIServer.connect(server.url, "polish")
    assert OpenAIServer.connect(server.url, "any", context=99).context == 99
    with pytest.raises(MigakiError, match="refuses the key"):
        OpenAIServer.connect(server.url, "any")
    server.plan += [(500, {})] * 3  # transformers serve, where it has no cache to list
    assert OpenAIServer.connect(server.url, "any").context == 4096


def test_tokens_are_counted_or_estimated():
    tokenizer = tiny_tokenizer()
    messages = ask("hello 磨き")
    assert OpenAIServer("http://h", "m").count_tokens(messages) == 2 + 2 + 4
    assert OpenAIServer("http://h", "m", tokenizer=tokenizer).count_tokens(messages) == len(encode_prompt(tokenizer, messages))


@pytest.mark.parametrize("variant", ["fp16", "int8", "nf4"])
def test_every_precision_of_the_registry_is_batched(tmp_path, variant):
    source = save_tiny(tmp_path / "tiny", hidden=64)
    backend = LocalModel(make_variant(variant, source, 6.0, "cpu"), tiny_tokenizer(), variant)
    assert backend.batched
    got = []
    threads = [threading.Thread(target=lambda: got.append(answer(backend, "hello"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 3 and all(tokens == 12 or reason == "stop" for _, tokens, reason in got)
    assert all(score < 0 for score in backend.choose(ask("hello"), ["yes", "no"]))
    backend.close()
