"""The heartbeat: called while all is well, never while something is down, and silent about its address."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.running import heartbeat as beating
from flows.running.heartbeat import Heartbeat, called, heartbeat
from flows.running.notifications import NotifySettings


@pytest.fixture
def receiver():
    """Counts its calls, and answers with `receiver.status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.calls.append(self.path)
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.calls, server.status = [], 200
    server.address = f"http://127.0.0.1:{server.server_port}/T0secret"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(beating, "time", found)
    return found


def looked(beat):
    """Look, and wait for the call that this made."""
    beat.look()
    if beat._call is not None:
        beat._call.join(10)


def test_it_is_called_each_period_while_all_is_well_and_never_while_not(receiver, clock):
    wrong, said = [""], []
    beat = Heartbeat(receiver.address, 300, lambda: wrong[0], said.append)
    looked(beat)
    clock.now += 299
    looked(beat)
    assert receiver.calls == ["/T0secret"]
    clock.now += 1
    wrong[0] = "the worker of the pool gpu is down"
    for _ in range(100):
        looked(beat)
        clock.now += 5
    assert len(receiver.calls) == 1 and said == ["no heartbeat: the worker of the pool gpu is down"]
    wrong[0] = ""
    looked(beat)  # as soon as all is well again, not a period later
    assert len(receiver.calls) == 2


def test_a_call_that_fails_is_said_once_without_the_address(receiver, clock):
    said = []
    beat = Heartbeat(receiver.address, 1, lambda: "", said.append)
    for status in (500, 404, 200, 200):
        receiver.status = status
        looked(beat)
        clock.now += 1
    assert said == ["the heartbeat's address cannot be called: it answers with HTTP 500", "the heartbeat's address can be called again"]


def test_a_call_that_hangs_holds_up_nobody_and_is_not_made_twice(clock, monkeypatch):
    release, calls = threading.Event(), []
    monkeypatch.setattr(beating, "called", lambda address: calls.append(address) or (release.wait(10) and ""))
    beat = Heartbeat("http://x", 1, lambda: "", print)
    began = time.perf_counter()
    for _ in range(5):
        beat.look()
        clock.now += 1
    assert time.perf_counter() - began < 5 and calls == ["http://x"]
    release.set()
    beat._call.join(10)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/T0secret", "http://no-such-host.invalid/T0secret", "http://127.0.0.1:9x/T0secret"])
def test_what_cannot_be_reached_is_told_without_the_address(address):
    assert called(address) and "T0secret" not in called(address) and "http" not in called(address)


def test_without_an_address_nothing_is_asked():
    def well():
        raise AssertionError("nobody wants to know")

    heartbeat(NotifySettings(), well, print)()
