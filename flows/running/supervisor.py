"""Keeps a platform on one machine going: parts that died are started again, runs whose process is gone are told so, and those that nobody waits for begin again."""

import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from subprocess import Popen
from typing import Any, NoReturn

import psutil

from tasks.errors import MigakiError

SETTLED = 60.0  # seconds after which a part that died is one that had worked
TRIES = 5  # starts in a row of a part that dies before it has settled
EVERY = 10.0  # seconds between two looks at the runs: a worker tells sooner of a run of its own that died
TAKEN = 120.0  # seconds after which a run that a worker took, and that has no process, never gets one
AGAIN = 10  # times that one run is begun again, each under a key of its own
DAYS = 1  # as long ago a run may have died to be begun again
RUN = "PREFECT__FLOW_RUN_ID"  # in the environment of a run's process
REFUSED = (404, 409, 422)  # how the server says no, as where a deployment takes other parameters than it did: it would again
LONGEST = 500  # characters of why
EXITED = re.compile(r"exited with status code: (\d+)")  # in what a worker says; of one that was killed the code is negative, or a shell's
GOING = ("RUNNING", "PENDING", "CANCELLING")


@dataclass
class Part:
    """A process of the platform, and how it is started."""

    name: str
    start: Callable[[], "Popen[bytes]"]
    process: "Popen[bytes]"
    since: float = field(default_factory=time.monotonic)
    tries: int = 0

    def look(self, say: Callable[[str], object]) -> bool:
        """Start it again where it ended by itself; whether that was so.

        Raises:
            MigakiError: it died `TRIES` times in a row before it had settled.
        """
        if (code := self.process.poll()) is None:
            return False
        self.tries = 0 if time.monotonic() - self.since > SETTLED else self.tries + 1
        if self.tries >= TRIES:
            raise MigakiError(f"the platform's {self.name} ended {TRIES} times in a row (exit code {code})")
        say(f"the {self.name} ended by itself (exit code {code}): it is started again")
        time.sleep(min(2.0**self.tries - 1, SETTLED))
        self.process, self.since = self.start(), time.monotonic()
        return True


class Api:
    """Prefect's, asked with the platform's secret."""

    def __init__(self, address: str, secret: str):
        self.address, self.secret = address, secret

    def __call__(self, path: str, body: Mapping[str, Any] | list[Any]) -> Any:
        """The answer to a POST.

        Raises:
            OSError: the server does not answer, refuses, or dies while it answers.
        """
        asked = urllib.request.Request(f"{self.address}/api{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        asked.add_header("Authorization", f"Basic {b64encode(self.secret.encode()).decode()}")
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return json.loads(answer.read() or "null")
        except (HTTPException, ValueError) as error:  # half an answer, or what is no answer of Prefect's
            raise ConnectionError(f"{type(error).__name__}: {error}") from error


class Runs:
    """What becomes of the runs on this machine."""

    def __init__(self, api: Callable[[str, Mapping[str, Any]], Any], say: Callable[[str], object]):
        self.api, self.say = api, say
        self._missing: set[str] = set()
        self._begun: set[str] = set()  # that crashed, and were begun again

    def look(self, workers: Collection[int]) -> None:
        """End what runs without a worker, say which runs have no process any more, and begin again those that nobody waits for.

        Args:
            workers: the processes of the workers that live.
        """
        with suppress(OSError):  # the server is being started again: it is asked the next time
            going = self.api("/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": list(GOING)}}}, "limit": 200})
            missing, ours = set(), {pool for pool in {run["work_pool_name"] for run in going} if pool and not self._foreign(pool)}
            for run in going:
                if run["work_pool_name"] is None and run["parent_task_run_id"] and self._parent_ended(run):
                    self._crash(run, "the run that it was a part of has ended")
                if run["work_pool_name"] not in ours:
                    continue
                if (process := process_of(run)) is None:
                    if taken_long_ago(run):
                        self._crash(run, "its worker took it, and died before it began it")
                elif orphaned(process, run["id"], workers):
                    end_group(process)
                    self._crash(run, "its worker died, and it was ended")
                elif not lives(process, run["id"]):
                    missing.add(run["id"])
                    if run["id"] in self._missing:  # seen twice: its worker has had the time to tell
                        self._crash(run, "its process is gone")
            self._missing = missing
            self._begin_again()

    def _foreign(self, pool: str) -> bool:
        """Whether a worker of another machine serves the pool, so that a process that is not here may be there."""
        return any(
            worker["name"] != worker_name(pool) and worker["status"] == "ONLINE"
            for worker in self.api(f"/work_pools/{pool}/workers/filter", {})
        )

    def _parent_ended(self, run: Mapping[str, Any]) -> bool:
        """Whether the run that runs a stage in its own process has ended, and the stage with it."""
        of_it = {"task_runs": {"id": {"any_": [run["parent_task_run_id"]]}}}
        parents = self.api("/flow_runs/filter", of_it)
        return bool(parents) and parents[0]["state"]["type"] not in (*GOING, "SCHEDULED")

    def _crash(self, run: Mapping[str, Any], why: str) -> None:
        self.say(f"the run {run['name']!r} is marked as crashed: {why}")
        self.api(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CRASHED", "message": why}, "force": True})

    def _begin_again(self) -> None:
        """Runs of deployments that crashed and have no parent that would start them again; each once, as its key says."""
        after = (datetime.now(UTC) - timedelta(days=DAYS)).isoformat()
        crashed = {"state": {"type": {"any_": ["CRASHED"]}}, "parent_task_run_id": {"is_null_": True}, "end_time": {"after_": after}}
        for run in self.api("/flow_runs/filter", {"flow_runs": crashed, "limit": 200}):
            if run["id"] in self._begun or run["deployment_id"] is None or gave_up(run) or (number := times(run) + 1) > AGAIN:
                continue
            body = {
                "parameters": run["parameters"],
                "state": {"type": "SCHEDULED"},
                "idempotency_key": f"again:{run['id']}",
                "tags": [*[tag for tag in run["tags"] if not tag.startswith("again:")], f"again:{number}"],
            }
            try:
                made = self.api(f"/deployments/{run['deployment_id']}/create_flow_run", body)
            except urllib.error.HTTPError as error:
                if error.code not in REFUSED:
                    raise
                self.say(f"the run {run['name']!r} crashed and cannot be begun again: {error.read().decode(errors='replace')[:LONGEST]}")
                made = None
            self._begun.add(run["id"])
            if made and made["run_count"] == 0 and made["state"]["type"] == "SCHEDULED":
                self.say(f"the run {run['name']!r} crashed: it is begun again as {made['name']!r}")


def gave_up(run: Mapping[str, Any]) -> bool:
    """Whether the process of a crashed run ended by itself, as where the parameters are none that its flow has: it would do so again."""
    said = EXITED.search(run["state"].get("message") or "")
    return bool(said and int(said[1]) not in (128 + signal.SIGKILL, 128 + signal.SIGTERM))


def times(run: Mapping[str, Any]) -> int:
    """How many times a run was begun again to become this one."""
    return max((int(tag.partition(":")[2]) for tag in run["tags"] if tag.startswith("again:") and tag[6:].isdecimal()), default=0)


def worker_name(pool: str) -> str:
    """Of this platform's worker for a pool."""
    return f"{pool}-worker"


def process_of(run: Mapping[str, Any]) -> int | None:
    """The process of a run on this machine; None where it has none yet, or says that it is of another machine."""
    host, _, number = (run.get("infrastructure_pid") or "").rpartition(":")
    return int(number) if host in ("", socket.gethostname()) and number.isdecimal() else None


def taken_long_ago(run: Mapping[str, Any]) -> bool:
    """Whether a worker has had a run for so long that it would have begun it."""
    since = datetime.fromisoformat(run["state"]["timestamp"])
    return run["state"]["type"] == "PENDING" and datetime.now(UTC) - since > timedelta(seconds=TAKEN)


def lives(process: int, run_id: str) -> bool:
    """Whether a process is still that run's: numbers are given out again."""
    try:
        found = psutil.Process(process)
        return bool(found.status() != psutil.STATUS_ZOMBIE and found.environ().get(RUN) == run_id)
    except psutil.Error:
        return False


def orphaned(process: int, run_id: str, workers: Collection[int]) -> bool:
    """Whether a run's process lives, and none of the workers started it."""
    try:
        return lives(process, run_id) and not {parent.pid for parent in psutil.Process(process).parents()} & set(workers)
    except psutil.Error:
        return False


def end_group(process: int) -> None:
    """End a run and what it started: it leads a group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(os.getpgid(process), signal.SIGKILL)


def unwell(parts: Collection[Part], api: Callable[[str, Mapping[str, Any]], Any]) -> str:
    """What of a platform is down, or has died and not settled since; "" for nothing."""
    for part in parts:
        if part.process.poll() is not None or (part.tries and time.monotonic() - part.since < SETTLED):
            return f"the {part.name} is down, or was lately"
    try:
        pools = api("/work_pools/filter", {})
    except OSError:
        return "the Prefect server does not answer"
    idle = [pool["name"] for pool in pools if pool["status"] == "NOT_READY"]
    return f"no worker of the pool {idle[0]} is alive" if idle else ""


def supervise(
    parts: list[Part],
    runs: Runs,
    say: Callable[[str], object],
    ready: Callable[[], object],
    besides: Collection[Callable[[], object]],
) -> NoReturn:
    """Look after the parts, of which the first is the server, until somebody ends the platform.

    Args:
        ready: waits until the server answers.
        besides: what is called each second between two looks at the parts, and holds up nothing.

    Raises:
        MigakiError: a part cannot be kept going.
    """
    looked = time.monotonic() - EVERY
    while True:
        for part in parts:
            if part.look(say) and part is parts[0]:
                _await(part, ready, say)
        if time.monotonic() - looked >= EVERY:
            runs.look([part.process.pid for part in parts[1:]])
            looked = time.monotonic()
        for call in besides:
            call()
        time.sleep(1)


def _await(server: Part, ready: Callable[[], object], say: Callable[[str], object]) -> None:
    """Wait for a server that was started again. One that died again, or does not answer, has its tries (`Part.look`)."""
    try:
        ready()
    except MigakiError as error:
        say(str(error))
        if server.process.poll() is None:
            end_group(server.process.pid)
            server.process.wait()
