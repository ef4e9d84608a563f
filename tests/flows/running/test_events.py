"""What is told to Prefect's server, by whom, and what becomes of it where there is none."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect.context import FlowRunContext

from flows.running import events
from flows.running.events import DECIDED, INDEX_LIVE, LONGEST, emit, tell_of_decision, tell_of_policy
from flows.running.secret import made_secret
from storage.artifacts import ArtifactRef
from storage.releases import Promotion
from tasks.rlhf.guards import DONE


@pytest.fixture
def told(monkeypatch):
    """What would be told: (event, kind, id, facts)."""
    found = []
    monkeypatch.setattr(events, "emit", lambda home, *event: found.append(event))
    return found


@pytest.fixture
def platform(home, monkeypatch):
    """Stands in for the home's platform: answers, and keeps what it is sent."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, self.headers["Authorization"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made_secret(home)
    monkeypatch.setattr(events, "address_of", lambda home: f"http://127.0.0.1:{server.server_port}")
    yield got
    server.shutdown()
    server.server_close()


def test_outside_of_flows_the_homes_platform_is_told_with_its_secret(home, platform):
    emit(home, INDEX_LIVE, "index", "0123456789abcdef", {"hit_at_5": 0.5, "reason": "長" * (LONGEST + 1), "guards": ["x" * (LONGEST + 1)]})
    [(path, authorization, [event])] = platform
    assert path == "/api/events" and authorization.startswith("Basic ")
    assert event["event"] == INDEX_LIVE
    assert event["resource"] == {"prefect.resource.id": "migaki.index.0123456789abcdef", "prefect.resource.name": "0123456789ab"}
    assert event["payload"] == {"hit_at_5": 0.5, "reason": "長" * LONGEST, "guards": ["x" * LONGEST]}


def test_inside_of_a_flow_its_own_server_is_told(home, platform, migaki_events):
    with FlowRunContext.model_construct():
        emit(home, INDEX_LIVE, "index", "0123456789abcdef", {"hit_at_5": 0.5})
    resource = {"prefect.resource.id": "migaki.index.0123456789abcdef", "prefect.resource.name": "0123456789ab"}
    assert migaki_events == [((INDEX_LIVE, resource), {"payload": {"hit_at_5": 0.5}})] and platform == []


@pytest.fixture
def migaki_events(monkeypatch):
    found = []
    monkeypatch.setattr("prefect.events.emit_event", lambda *event, **more: found.append((event, more)))
    return found


def test_without_a_platform_nobody_is_told_and_nothing_is_said(home, caplog):
    emit(home, INDEX_LIVE, "index", "i", {})
    assert caplog.records == []


def test_a_platform_that_does_not_answer_costs_a_line_in_the_log(home, platform, monkeypatch, caplog):
    monkeypatch.setattr(events, "address_of", lambda home: "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        emit(home, INDEX_LIVE, "index", "0123456789abcdef", {})
    assert [line.getMessage().partition(" was not told: ")[0] for line in caplog.records] == [
        f"the event {INDEX_LIVE} of the index 0123456789ab"
    ]


@pytest.mark.parametrize(("decision", "event"), sorted(DECIDED.items()))
def test_a_decision_is_told_with_its_figures_and_without_what_is_not_known(home, told, decision, event):
    tell_of_decision(home, Promotion("p1", "r1", decision, "why", metric="utility", difference=0.1))
    facts = {"promotion_id": "p1", "decision": decision, "reason": "why", "metric": "utility", "difference": 0.1}
    assert told == [(event, "release", "r1", facts)]


def adapter(**meta):
    return ArtifactRef(id="a1", kind="adapter", uri="", meta={"adapters": ["a1"]} | meta)


def test_what_stops_rlhf_is_a_guard_that_broke(home, told):
    tell_of_policy(home, adapter(ending=DONE))
    tell_of_policy(home, adapter())  # of tune
    tell_of_policy(home, ArtifactRef(id="m1", kind="model", uri="", meta={}))
    assert told == []
    tell_of_policy(home, adapter(ending="stopped at update 3: KL 9.00 over align.kl_limit = 5", alarm="reward hacking: x"))
    broken = ["stopped at update 3: KL 9.00 over align.kl_limit = 5", "reward hacking: x"]
    assert told == [("migaki.guard.broken", "adapter", "a1", {"stage": "align", "reason": "; ".join(broken), "guards": broken})]
