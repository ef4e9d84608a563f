"""A real Prefect server with a worker for each pool, one run at a time in both: retrain over the API, its stages on the gpu pool."""

import base64
import json
import time
import urllib.error
import urllib.request

import pytest

from flows.commands import platform
from flows.running.local import wait_for_server
from flows.running.secret import read_secret
from storage.catalog import Catalog
from storage.home import Home
from tests.helpers.small_project import SETTINGS

PORT = 4317
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def platform_home(tmp_path, monkeypatch):
    """The platform on a port of its own, both pools limited to one run."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    home = Home(tmp_path / "home")
    home.root.mkdir()
    platform.refuse_taken_port(PORT)
    log = tmp_path / "platform.log"
    processes = [platform.serving(home, PORT, log)]
    try:
        wait_for_server(processes[0], PORT, log)
        platform.set_up(home, PORT, {"cpu": 1, "gpu": 1})
        processes += [platform.start_worker(home, PORT, pool, log) for pool in platform.POOLS]
        yield home, log
    finally:
        platform.end(processes)


@pytest.fixture
def api(platform_home):
    """The platform's API, asked with its secret."""
    credentials = base64.b64encode(read_secret(platform_home[0]).encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}/api{path}", data=data, headers=headers)
        for _ in range(10):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503:  # SQLite is busy: Prefect's own clients come again too
                    raise
                time.sleep(1)
        raise TimeoutError(path)

    return ask


def test_retrain_over_the_api_with_both_limits_at_one(platform_home, api, small_project):
    home, log = platform_home
    run = {"where": "prefect", "model": small_project.model, "embedder": small_project.embedder}
    parameters = {"run": run, "prepare": small_project.files, **SETTINGS}
    deployment = api("/deployments/name/retrain/retrain")
    assert deployment["schedules"][0]["active"] is False and deployment["schedules"][0]["schedule"]["timezone"] == "Asia/Tokyo"
    run = api(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters, "state": {"type": "SCHEDULED"}})
    until = time.monotonic() + 800
    while (state := api(f"/flow_runs/{run['id']}")["state"]["type"]) not in (
        "COMPLETED",
        "FAILED",
        "CRASHED",
        "CANCELLED",
    ) and time.monotonic() < until:
        time.sleep(2)
    assert state == "COMPLETED", log.read_text(errors="replace")[-4000:]
    pools = {}
    for flow_run in api("/flow_runs/filter", {}):
        flow = api(f"/flows/{flow_run['flow_id']}")["name"]
        pools.setdefault(flow, set()).add(flow_run["work_pool_name"])
    assert pools["retrain"] == {"cpu"}
    assert all(pools[flow] - {None} == {"gpu"} for flow in ("tune", "align", "quantize", "evaluate"))
    rows = Catalog.of(home).query("SELECT flow, status FROM runs")
    assert {row["status"] for row in rows} == {"completed"} and len(rows) == 8
