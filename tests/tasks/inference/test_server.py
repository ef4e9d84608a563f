"""A server that speaks OpenAI's protocol: what it is asked, what it answers, and what is said when it fails."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.errors import MigakiError
from tasks.inference.backend import Sampling, TokenLogprob, Unavailable
from tasks.inference.server import OpenAIServer
from tasks.prompts.template import encode_prompt
from tests.helpers.backends import GREEDY, answer, ask
from tests.helpers.models import tiny_tokenizer


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


def test_a_server_is_asked_for_log_probabilities_and_what_goes_beyond_the_protocol(server):
    told = {"token": "ok", "logprob": -0.5, "top_logprobs": [{"token": "ok", "logprob": -0.5}, {"token": "no", "logprob": -2.0}]}
    said = piece("ok")
    said["choices"][0]["logprobs"] = {"content": [told]}
    server.plan += [(200, [said, piece(reason="stop"), "[DONE]"])]
    how = Sampling(min_p=0.1, repetition_penalty=1.2, logprobs=2)
    deltas = list(OpenAIServer(server.url, "m").stream(ask("hi"), how, threading.Event()))
    assert deltas[0].logprobs == (TokenLogprob("ok", -0.5, (("ok", -0.5), ("no", -2.0))),) and deltas[-1].logprobs == ()
    body = server.seen[0][2]
    wanted = {"min_p": 0.1, "repetition_penalty": 1.2, "logprobs": True, "top_logprobs": 2, "top_k": 50}
    assert {name: body[name] for name in wanted} == wanted


def test_a_strict_server_is_asked_again_without_extensions_and_ever_after(server):
    done = (200, [piece("ok"), piece(reason="stop"), "[DONE]"])
    server.plan += [(400, {"error": "top_k is not permitted"}), done, done]
    remote = OpenAIServer(server.url + "/v1/", "m")
    assert remote.passes_over == {"num_beams", "no_repeat_ngram"}
    assert answer(remote, "hi", Sampling()) == answer(remote, "hi", Sampling()) == ("ok", 1, "stop")
    assert remote.passes_over == {"num_beams", "no_repeat_ngram", "top_k"}
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
