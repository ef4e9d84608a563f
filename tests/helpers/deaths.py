"""A platform as `migaki platform` starts it, whose processes are killed while a small project is retrained."""

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from flows.running.secret import read_secret
from storage.catalog import Catalog
from storage.home import Home
from tests import ROOT
from tests.helpers.small_project import SmallProject

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
GOING = ("RUNNING", "PENDING", "CANCELLING")
KINDS = ("stage", "gpu worker", "cpu worker", "parent", "server")


class Platform:
    """A platform that runs, its API, and its processes."""

    def __init__(self, home: Home, port: int, process: "subprocess.Popen[bytes]", log: Path):
        self.home, self.port, self.process, self.log = home, port, process, log

    def api(self, path: str, body: dict[str, Any] | None = None, seconds: float = 120) -> Any:
        """The answer, as soon as the server gives one: it may be among those that were killed."""
        until = time.monotonic() + seconds
        while True:
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api{path}", None if body is None else json.dumps(body).encode())
            request.add_header("Content-Type", "application/json")
            request.add_header("Authorization", f"Basic {base64.b64encode(read_secret(self.home).encode()).decode()}")
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read() or "null")
            except (OSError, ValueError) as error:
                if time.monotonic() > until or (isinstance(error, urllib.error.HTTPError) and error.code != 503):
                    raise
                time.sleep(1)

    def retrain(self, project: SmallProject, seed: int) -> dict[str, Any]:
        """A run of the deployment retrain."""
        run = {"where": "prefect", "model": project.model, "embedder": project.embedder}
        settings = project.settings | {"tune": project.settings["tune"] | {"seed": seed}}
        return self.start("retrain", {"run": run, "prepare": project.files, **settings})

    def start(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """A run of a deployment."""
        deployment = self.api(f"/deployments/name/{name}/{name}")["id"]
        return self.api(f"/deployments/{deployment}/create_flow_run", {"parameters": parameters, "state": {"type": "SCHEDULED"}})

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        return self.api("/flow_runs/filter", {"flow_runs": wanted, "limit": 200})

    def last(self, run: dict[str, Any]) -> dict[str, Any]:
        """The run, or the one that was begun again in its place, and so on."""
        while (own := self.api(f"/flow_runs/{run['id']}"))["state"]["type"] == "CRASHED" and (
            found := self.runs(idempotency_key={"any_": [f"again:{run['id']}"]})
        ):
            run = found[0]
        return own

    def finished(self, run: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The last run in its place, ended."""
        until = time.monotonic() + seconds
        while (own := self.last(run))["state"]["type"] not in ENDED and time.monotonic() < until:
            time.sleep(1)
        return own

    def victim(self, kind: str, run: dict[str, Any]) -> int | None:
        """The process of that kind, where there is one at the moment."""
        if kind in ("stage", "parent"):
            going = self.runs(state={"type": {"any_": ["RUNNING"]}})
            found = [own for own in going if (own["parent_task_run_id"] is None) == (kind == "parent") and own["infrastructure_pid"]]
            return int(found[0]["infrastructure_pid"].rpartition(":")[2]) if found else None
        word = "uvicorn" if kind == "server" else kind.removesuffix(" worker")
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                words = child.cmdline()
                if word in words and (kind == "server" or "worker" in words):
                    return child.pid
        return None

    def kill(self, kind: str, run: dict[str, Any], seconds: float = 120) -> bool:
        """`kill -9` a process of that kind; whether there was one before the run ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if (victim := self.victim(kind, run)) is not None:
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    return True
            if self.last(run)["state"]["type"] in ENDED:
                return False
            time.sleep(0.5)
        return False

    def without_process(self) -> list[str]:
        """Names of runs that go on, by their state, without a process."""
        going = self.runs(state={"type": {"any_": list(GOING)}})
        pids = {own["name"]: int((own["infrastructure_pid"] or ":0").rpartition(":")[2]) for own in going}
        return [name for name, pid in pids.items() if not pid or not psutil.pid_exists(pid)]

    def orphans(self) -> list[int]:
        """Processes of runs that no part of the platform has among its children."""
        own, found = {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}, []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environment = process.environ()
                mine = environment.get("MIGAKI_HOME") == str(self.home.root) and "PREFECT__FLOW_RUN_ID" in environment
                if mine and process.pid not in own and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found


@contextmanager
def platform_in(folder: Path, threads: int = 1) -> Iterator[Platform]:
    """`migaki platform` in the folder's own `home`, ready to run deployments, whose processes compute with so many threads."""
    home, log = Home(folder / "home"), folder / "said.log"
    home.root.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"MIGAKI_HOME": str(home.root), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    environment["MIGAKI_ROOTS"] = os.pathsep.join([str(ROOT), str(folder)])
    command = [sys.executable, "-m", "flows.commands.main", "platform", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 240
        while "Ctrl-C ends it" not in (said := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(said)
            time.sleep(0.5)
        yield Platform(home, port, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


def computed_twice(home: Home) -> list[str]:
    """Stages of which two runs computed the same to the end: what one has made, others are to reuse."""
    source = "SELECT flow FROM runs WHERE status = 'completed' AND key IS NOT NULL GROUP BY flow, key HAVING count(*) > 1"
    return [row["flow"] for row in Catalog.of(home).query(source)]


def kinds(count: int, seed: int = 0) -> list[str]:
    """So many kinds of processes, each as often as the others, in an order of chance."""
    found = [KINDS[number % len(KINDS)] for number in range(count)]
    random.Random(seed).shuffle(found)
    return found
