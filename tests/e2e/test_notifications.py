"""A real Prefect server and a sink beside it: everything that people are told of happens, and arrives at each address, once."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.commands import platform
from flows.running.events import INDEX_REFUSED, MONITOR_ALERT, RELEASE_KEPT, emit, tell_of_decision, tell_of_guards
from flows.running.local import free_port, wait_for_server
from flows.running.secret import read_secret
from storage.home import Home
from storage.releases import Promotion
from tests import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
SECRET = "T0secret"  # part of each address
MARKUP = 'it says <!channel> & <https://evil.example|here>, [there](//evil.example), @all: https://evil.example "ok"\n日本語'


class Sink:
    """An HTTP server that keeps what it is sent, and answers 404 below /gone."""

    def __init__(self):
        self.got = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                time.sleep(0.3)  # so that several are under way at once
                sink.got.append((self.path.split("/")[1], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.answer()

            def do_GET(self):
                sink.got.append((self.path.split("/")[1], None))
                self.answer()

            def answer(self):
                self.send_response(404 if self.path.startswith("/gone") else 200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def address(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}/{SECRET}"

    def texts(self, name):
        return [body["text"] for target, body in self.got if target == name and body]


class Server:
    """A platform's Prefect without workers."""

    def __init__(self, home, port, log):
        self.home, self.port, self.log = home, port, log

    def api(self, path, body, method="POST"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api{path}", json.dumps(body).encode(), method=method)
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Basic {b64encode(read_secret(self.home).encode()).decode()}")
        for _ in range(20):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:
                if error.code != 503:  # SQLite is busy: Prefect's own clients come again too
                    raise
                time.sleep(0.5)
        raise TimeoutError(path)

    def command(self, *options, **more):
        """`migaki platform` with these options and variables, and its answer."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        words = [sys.executable, "-m", "flows.commands.main", "platform", "--home", str(self.home.root), "--json", *options]
        done = subprocess.run(words, env=environment | {"PYTHONPATH": str(ROOT)} | more, cwd=ROOT, capture_output=True, text=True)
        assert SECRET not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr

    def notify(self, **settings):
        path = self.home.root / "platform" / "notify.yaml"
        path.touch(mode=0o600)
        path.write_text(json.dumps(settings))

    def run(self, flow, name, state):
        """A run of a flow in that state, without a process."""
        made = self.api("/flows/", {"name": flow})
        return self.api("/flow_runs/", {"flow_id": made["id"], "name": name, "state": state})["id"]

    def ends(self, run, kind, message=""):
        self.api(f"/flow_runs/{run}/set_state", {"state": {"type": kind, "message": message}, "force": True})

    def automations(self):
        return {one["name"]: one for one in self.api("/automations/filter", {"limit": 200})}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    home, port, log = Home(folder / "home"), free_port(), folder / "platform.log"
    home.root.mkdir()
    process = platform.serving(home, port, log)
    try:
        wait_for_server(process, port, log)
        yield Server(home, port, log)
    finally:
        platform.end([process])


@pytest.fixture
def sink():
    found = Sink()
    yield found
    found.server.shutdown()


def test_what_happens_arrives_once_at_each_address(server, sink):
    targets = ("hook", "slack")
    server.notify(webhook=sink.address("hook"), slack=sink.address("slack"), late_minutes=0.2, worker_minutes=0.2)
    assert server.command("--apply")[0] == 0 and server.command("--apply")[1]["changed"] == []
    assert server.api("/block_documents/filter", {})[0]["data"]["url"] == "********"
    late = {"type": "SCHEDULED", "state_details": {"scheduled_time": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}}
    server.run("retrain", "late-one", late)
    server.ends(server.run("harvest", "begins-in-time", late), "RUNNING")
    for pool in ("gpu", "cpu"):  # whose workers live for a second, as far as the server knows
        server.api("/work_pools/", {"name": pool, "type": "process"})
        server.api(f"/work_pools/{pool}/workers/heartbeat", {"name": f"{pool}-worker", "heartbeat_interval_seconds": 1})
    server.ends(server.run("retrain", "failed-one", {"type": "RUNNING"}), "FAILED", MARKUP)
    server.ends(server.run("index", "crashed-one", {"type": "RUNNING"}), "CRASHED", "its process is gone")
    server.ends(server.run("retrain", "good-one", {"type": "RUNNING"}), "COMPLETED")
    server.ends(server.run("tune", "somebody-waits", {"type": "RUNNING"}), "FAILED")
    tell_of_guards(server.home, "release", "release00001", "promote", ["it refuses 1 of 2 harmful requests, the champion 2", "長すぎる"])
    emit(server.home, INDEX_REFUSED, "index", "index0000001", {"reason": "0.500 against 0.900", "hit_at_5": 0.5})
    tell_of_decision(server.home, Promotion("p1", "release00002", "pending", "a person decides"))
    tell_of_decision(server.home, Promotion("p2", "release00003", "keep", "worse", difference=-0.1))
    emit(server.home, MONITOR_ALERT, "monitor", "2026-11-23", {"reason": "unanswered (ja) is 0.333, above its range", "alerts": ["..."]})
    expected = {
        "retrain failed-one failed:",
        "index crashed-one crashed: its process is gone.",
        "retrain late-one should have",
        "The work pool gpu has",
        "The work pool cpu has",
        "A guard broke in promote: it refuses 1 of 2 harmful requests, the champion 2; 長すぎる",
        "The index index0000001 does not go live: 0.500 against 0.900",
        "The release release00002 waits for a decision: a person decides",
        "The chatbot in the week of 2026-11-23: unanswered (ja) is 0.333, above its range",
    }

    def seen(target):
        return Counter(next((one for one in expected if text.startswith(one)), text) for text in sink.texts(target))

    until = time.monotonic() + 120
    while time.monotonic() < until and not all(expected <= set(seen(target)) for target in targets):
        time.sleep(0.5)
    time.sleep(5)  # whatever would come twice, or should not
    assert [seen(target) for target in targets] == [dict.fromkeys(expected, 1)] * 2
    _no_markup(next(text for text in sink.texts("slack") if "failed-one" in text))
    whole = next(body for target, body in sink.got if target == "hook" and body["event"] == INDEX_REFUSED)
    assert whole["payload"] == {"reason": "0.500 against 0.900", "hit_at_5": 0.5} and whole["resource"] == "migaki.index.index0000001"
    kept = server.api("/events/filter", {"filter": {"event": {"name": [RELEASE_KEPT]}}})["events"]
    assert [one["payload"] for one in kept] == [{"promotion_id": "p2", "decision": "keep", "reason": "worse", "difference": -0.1}]
    assert SECRET not in server.log.read_text(errors="replace")


def _no_markup(text):
    """What Slack, or Mattermost, would make a link, an image or a call of is none; our own link stands at the end."""
    said, _, link = text.rpartition(" ")
    assert link.startswith("http://127.0.0.1:") and "/runs/flow-run/" in link
    assert "日本語" in said and '"ok"' in said
    assert not any(mark in said for mark in ("<", ">", "@all", "://", "]("))


def test_the_trial_says_of_each_address_whether_it_arrived(server, sink):
    server.notify()
    code, answer, _ = server.command("--test-notifications")
    assert code == 1 and "names no address" in answer["message"]
    server.notify(slack=sink.address("slack"))
    code, answer, said = server.command("--test-notifications", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert code == 1 and "http://127.0.0.1:9/api does not take automations" in answer["message"] and "Traceback" not in said
    server.notify(webhook=sink.address("hook"), slack=sink.address("slack"), heartbeat=sink.address("beat"))
    assert server.command("--test-notifications")[:2] == (
        0,
        {"command": "platform", "status": "ok", "arrived": dict.fromkeys(("webhook", "slack", "heartbeat"), True)},
    )
    assert Counter(target for target, _ in sink.got) == {"hook": 1, "slack": 1, "beat": 1}
    nobody = f"http://127.0.0.1:{free_port()}/{SECRET}"
    server.notify(webhook=sink.address("gone"), slack=nobody, heartbeat=sink.address("gone"))
    code, answer, said = server.command("--test-notifications")
    assert code == 1 and answer["arrived"] == dict.fromkeys(("webhook", "slack", "heartbeat"), False)
    assert (
        "webhook: DID NOT ARRIVE: its receiver answers with HTTP 404" in said
        and "slack: DID NOT ARRIVE: Webhook call failed: ConnectError" in said
    )
    assert SECRET not in server.log.read_text(errors="replace")


def test_settings_replace_what_was_there_and_leave_what_is_not_ours(server, sink):
    action = {"type": "do-nothing"}
    trigger = {"type": "event", "expect": ["x"], "posture": "Reactive", "threshold": 1, "within": 0}
    own = server.api("/automations/", {"name": "somebody's own", "trigger": trigger, "actions": [action]})["id"]
    server.notify(webhook=sink.address("hook"))
    server.command("--apply")
    before = server.automations()
    off = before["Migaki: a guard broke"]["id"]
    server.api(f"/automations/{off}", {"enabled": False}, "PATCH")
    server.notify(webhook=sink.address("hook"), slack=sink.address("slack"), late_minutes=7)
    assert all(line.endswith(": changed") for line in server.command("--apply")[1]["changed"])
    after = server.automations()
    assert {name: one["id"] for name, one in after.items()} == {name: one["id"] for name, one in before.items()}
    assert after["Migaki: a run is late"]["trigger"]["within"] == 420 and len(after["Migaki: a run is late"]["actions"]) == 2
    assert [name for name, one in after.items() if not one["enabled"]] == ["Migaki: a guard broke"]
    (server.home.root / "platform" / "notify.yaml").unlink()
    assert all(line.endswith(": removed") for line in server.command("--apply")[1]["changed"])
    assert [one["id"] for one in server.automations().values()] == [own] and server.api("/block_documents/filter", {}) == []
