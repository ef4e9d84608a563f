"""The server of a local run: it asks for a secret of that run's own, which is in nobody else's environment; what the run tells of itself arrives."""

import json
import subprocess
import sys

import pytest

from tests import ROOT
from tests.helpers.command import environment

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, time
from flows.running.local import isolate, local_server
from storage.home import Home

home = Home.current()
isolate(home)
import httpx, psutil
from prefect import flow, get_client, task
from prefect.events import emit_event
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

@task
def double(x):
    return 2 * x

@flow
def sums():
    emit_event("sums.made", resource={"prefect.resource.id": "test.sums"})
    return sum(double.submit(x).result() for x in range(3))

with local_server(home):
    sums()
    address, secret = PREFECT_API_URL.value(), PREFECT_API_AUTH_STRING.value()
    def events(client):
        return [event["event"] for event in client._client.post("/events/filter", json={"limit": 50}).json()["events"]]
    with get_client(sync_client=True) as client:
        until = time.monotonic() + 30
        while not (kept := events(client)).count("prefect.task-run.Completed") == 3 and time.monotonic() < until:
            time.sleep(0.2)
        answer = {"events": sorted(set(kept)), "task_runs": len(client.read_task_runs())}
    answer["refused"] = [
        httpx.post(address + "/flow_runs/filter", json={}).status_code,
        httpx.post(address + "/flow_runs/filter", json={}, headers={"Authorization": "Basic bWlnYWtpOg=="}).status_code,
        httpx.get(address + "/health", headers={"Host": "evil.example"}).status_code,
        httpx.options(address + "/flow_runs/filter", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}).status_code,
    ]
    words = [word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ()]
    answer["leaks"] = [word for word in [*words, *os.environ.values()] if secret in word]
print(json.dumps(answer))
"""


def test_it_asks_for_a_secret_and_what_a_run_tells_arrives(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment(tmp_path / "home"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["task_runs"] == 3 and {"sums.made", "prefect.flow-run.Completed", "prefect.task-run.Completed"} <= set(answer["events"])
    assert answer["refused"] == [401, 401, 403, 403] and answer["leaks"] == []
