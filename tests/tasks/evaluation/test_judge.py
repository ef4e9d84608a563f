"""A judge on a server that speaks OpenAI's protocol, and one that is away, slow, or answers prose."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from storage.rows import check_rows
from tasks.evaluation.judge import GIVEN_UP, judge, verdict
from tests.helpers.chat_rows import asked


class Server(BaseHTTPRequestHandler):
    """Replies what `reply` says to (answer A, answer B), streamed."""

    reply, seen = None, []

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"data": [{"id": "m"}]}')

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][0]["content"]
        first, second = (text.split(f"<answer_{place}>\n")[1].split("\n</answer")[0] for place in "AB")
        self.seen.append((self.headers.get("Authorization"), first, second))
        said = type(self).reply(first, second)
        self.send_response(200)
        self.end_headers()
        for event in ({"delta": {"content": said}}, {"delta": {}, "finish_reason": "stop"}):
            self.wfile.write(f"data: {json.dumps({'choices': [event]})}\n\n".encode())

    def log_message(self, *_):
        pass


class Quiet(ThreadingHTTPServer):
    """Says nothing of those who left before they were answered."""

    def handle_error(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("tasks.inference.server.PAUSE", 0.01)
    handler = type("Judging", (Server,), {"seen": []})
    http = Quiet(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield handler
    http.shutdown()
    http.server_close()
    thread.join()


def pairs(*answers, accepted=(True, False)):
    """Of (the release's answer, the champion's)."""
    return [
        tuple(
            asked(model, f"q{i}", answer=answer, prompt=f"Question {i}?") | {"accepted": right}
            for model, answer, right in zip(("release", "champion"), both, accepted, strict=True)
        )
        for i, both in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("said", "means"),
    [("A", "first"), (" b.\n", "second"), ("**tie**", "tie"), ('"A"', "first")]
    + [(said, None) for said in ("Answer A", "A is better", "A or B", "", "C", None, "Both are good: tie")],
)
def test_one_word_is_a_verdict_and_prose_is_none(said, means):
    assert verdict(said) == means


def test_pairs_are_shown_in_both_orders_and_figures_follow(server):
    said = {("good", "bad"): "A", ("bad", "good"): "B", ("up", "down"): "A", ("down", "up"): "A", ("x", "y"): "tie", ("y", "x"): "TIE"}
    server.reply = lambda first, second: said[first, second]
    found = judge(server.url, "m", "secret", pairs(("good", "bad"), ("up", "down"), ("x", "y"), ("same", "same")), 0, 5.0)
    names = [("release", f"q{i}") for i in range(3)]
    assert found.values["chat.judge_wins"] == dict(zip(names, [1.0, 0.5, 0.5], strict=True))
    assert found.values["chat.judge_consistent"] == dict(zip(names, [1.0, 0.0, 1.0], strict=True))
    assert found.values["chat.judge_agrees"] == dict(zip(names, [1.0, 0.0, 0.0], strict=True))
    assert {key for key, _, _ in server.seen} == {"Bearer secret"} and len(server.seen) == 6
    assert "compared 3 of 3 pairs" in found.told and "1 pairs say the same" in found.told
    assert [(row["reference"], row["answer"]) for row in found.rows[:2]] == [("A: release", "A"), ("A: champion", "B")]
    assert check_rows("evaluation_answers", found.rows, "the test").num_rows == 6
    wrong = judge(server.url, "m", None, pairs(("good", "bad"), accepted=(False, True)), 0, 5.0)
    assert wrong.values["chat.judge_agrees"] == {("release", "q0"): 0.0}
    assert judge(server.url, "m", None, pairs(("good", "bad"), accepted=(None, None)), 1, 5.0).values["chat.judge_agrees"] == {}


def test_prose_is_counted_and_judges_nothing(server):
    server.reply = lambda first, second: "A" if first == "good" else "I would say that B is better."
    found = judge(server.url, "m", None, pairs(("good", "bad")), 0, 5.0)
    assert found.values["chat.judge_wins"] == {} and "1 of 2 replies were no verdict" in found.told


def test_a_slow_judge_is_given_up(server):
    server.reply = lambda first, second: time.sleep(1.0) or "A"
    start = time.perf_counter()
    found = judge(server.url, "m", None, pairs(*[(f"a{i}", f"b{i}") for i in range(200)]), 0, 0.2)
    assert time.perf_counter() - start < 6 and GIVEN_UP <= len(server.seen) < 60
    assert found.values["chat.judge_wins"] == {} and "400 replies did not come: " in found.told and "compared 0 of 200" in found.told


def test_a_judge_that_is_away_or_has_no_such_model_is_said(server):
    assert "'other' could not be asked: " in judge(server.url, "other", None, pairs(("a", "b")), 0, 1.0).told
    away = judge("http://127.0.0.1:9", "m", None, pairs(("a", "b")), 0, 1.0)
    assert "no server answers at http://127.0.0.1:9" in away.told and away.values == {} and away.rows == []
    assert "is none" in judge("nonsense", "m", None, [], 0, 1.0).told
