"""The platform's supervisor: real processes that die, and Prefect's answers as the server gives them."""

import io
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.message import Message
from urllib.error import HTTPError

import psutil
import pytest

from flows.running import supervisor
from flows.running.supervisor import RUN, TRIES, Api, Part, Runs, end_group, lives, orphaned, process_of, supervise, unwell
from tasks.errors import MigakiError


def sleeping(run_id="", seconds=60):
    """A process as a worker starts one for a run: in a session of its own."""
    command = [sys.executable, "-c", f"import time; time.sleep({seconds})"]
    return subprocess.Popen(command, env=os.environ | {RUN: run_id}, start_new_session=True)


@pytest.fixture
def run():
    """A run with its process, as the API describes it."""
    process = sleeping("run-1")
    while not lives(process.pid, "run-1"):  # it has its environment once it has become another program
        time.sleep(0.01)
    yield {
        "id": "run-1",
        "name": "brave-otter",
        "work_pool_name": "gpu",
        "parent_task_run_id": None,
        "state": {"type": "RUNNING", "timestamp": datetime.now(UTC).isoformat()},
        "infrastructure_pid": str(process.pid),
        "process": process,
    }
    process.kill()
    process.wait()


class Server:
    """Answers the two questions that are asked of runs, and remembers what it is told."""

    def __init__(self, going=(), crashed=(), workers=("gpu-worker",), parents=None):
        self.parents = parents or {}  # states by task run
        self.going, self.crashed, self.told, self.made, self.workers = list(going), list(crashed), [], {}, workers

    def __call__(self, path, body):
        if path == "/flow_runs/filter" and "task_runs" in body:  # whose part a run is
            return [{"state": {"type": self.parents[task]}} for task in body["task_runs"]["id"]["any_"] if task in self.parents]
        if path == "/flow_runs/filter":
            return self.crashed if body["flow_runs"]["state"]["type"]["any_"] == ["CRASHED"] else self.going
        if path == "/work_pools/gpu/workers/filter":
            return [{"name": name, "status": "ONLINE"} for name in self.workers]
        if path.endswith("/set_state"):
            self.told.append((path.split("/")[2], body["state"]["type"], body["state"]["message"]))
            return None
        return self.made.setdefault(body["idempotency_key"], body | {"name": "again", "run_count": 0, "state": {"type": "SCHEDULED"}})


def test_a_part_that_died_is_started_again_and_one_that_lives_is_left_alone():
    said = []
    part = Part("worker", lambda: sleeping(seconds=60), sleeping(seconds=60))
    first = part.process
    assert not part.look(said.append) and part.process is first
    first.kill()
    first.wait()
    part.since -= 2 * supervisor.SETTLED  # it had worked for long
    assert part.look(said.append) and part.process.poll() is None
    assert said == ["the worker ended by itself (exit code -9): it is started again"]
    part.process.kill()
    part.process.wait()


def test_a_platform_is_well_while_each_part_lives_and_each_pool_has_a_worker():
    def pools(path, body):
        return [{"name": "cpu", "status": "PAUSED"}, {"name": "gpu", "status": status}]

    def silent(path, body):
        raise ConnectionRefusedError

    status, part = "READY", Part("worker", sleeping, sleeping())
    assert unwell([part], pools) == ""
    assert unwell([part], silent) == "the Prefect server does not answer"
    status = "NOT_READY"
    assert unwell([part], pools) == "no worker of the pool gpu is alive"
    part.process.kill()
    part.process.wait()
    assert unwell([part], pools) == "the worker is down, or was lately"
    assert part.look(lambda text: None) and unwell([part], pools) == "the worker is down, or was lately"  # it had died before it settled
    part.since -= supervisor.SETTLED
    assert unwell([part], pools) == "no worker of the pool gpu is alive"
    part.process.kill()
    part.process.wait()


def test_a_part_that_cannot_be_kept_going_ends_the_platform(monkeypatch):
    waits = []
    monkeypatch.setattr(supervisor.time, "sleep", waits.append)

    def dies():
        process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        process.wait()
        return process

    part = Part("worker", dies, dies())
    with pytest.raises(MigakiError, match=f"the platform's worker ended {TRIES} times in a row .exit code 3"):
        while True:
            part.look(lambda text: None)
    assert waits == [1.0, 3.0, 7.0, 15.0]


def test_a_run_is_told_by_its_process_and_by_whose_it_is(run):
    pid = process_of(run)
    assert pid == run["process"].pid and lives(pid, "run-1") and not lives(pid, "run-2")
    assert not orphaned(pid, "run-1", [os.getpid()])  # this process started it, as a worker does
    assert orphaned(pid, "run-1", [1 << 22])
    assert process_of(run | {"infrastructure_pid": f"{socket.gethostname()}:7"}) == 7
    assert process_of(run | {"infrastructure_pid": "elsewhere:7"}) is None and process_of(run | {"infrastructure_pid": None}) is None


def test_what_a_dead_worker_left_is_ended_with_all_it_started_and_crashed(run):
    server = Server(going=[run])
    Runs(server, lambda text: None).look([os.getpid()])
    assert server.told == [] and run["process"].poll() is None
    Runs(server, lambda text: None).look([])
    assert run["process"].wait(5) == -9
    assert server.told == [("run-1", "CRASHED", "its worker died, and it was ended")]


def test_a_run_without_a_process_is_crashed_once_its_worker_had_time_to_tell(run):
    run["process"].kill()
    run["process"].wait()
    server = Server(going=[run])
    runs = Runs(server, lambda text: None)
    runs.look([os.getpid()])
    assert server.told == []
    runs.look([os.getpid()])
    assert server.told == [("run-1", "CRASHED", "its process is gone")]


def test_a_run_that_a_dead_worker_took_and_never_began_is_crashed(run):
    long_ago = {"type": "PENDING", "timestamp": (datetime.now(UTC) - timedelta(minutes=3)).isoformat()}
    taken = run | {"infrastructure_pid": None, "state": long_ago}
    just_now = taken | {"id": "new", "state": long_ago | {"timestamp": datetime.now(UTC).isoformat()}}
    server = Server(going=[taken, just_now, run])
    Runs(server, lambda text: None).look([os.getpid()])
    assert server.told == [("run-1", "CRASHED", "its worker took it, and died before it began it")]


def test_a_stage_in_the_process_of_another_run_ends_with_that_run(run):
    inside = [
        run | {"id": state, "parent_task_run_id": state, "work_pool_name": None} for state in ("CRASHED", "RUNNING", "PENDING", "unknown")
    ]
    server = Server(going=inside, parents={"CRASHED": "CRASHED", "RUNNING": "RUNNING", "PENDING": "PENDING"})
    Runs(server, lambda text: None).look([os.getpid()])
    assert server.told == [("CRASHED", "CRASHED", "the run that it was a part of has ended")]


def test_a_run_that_may_be_on_another_machine_is_left_alone(run):
    run["process"].kill()
    run["process"].wait()
    afar = Server(going=[run | {"infrastructure_pid": "elsewhere:1"}, run | {"work_pool_name": None}])
    shared = Server(going=[run], workers=("gpu-worker", "bigger-machine"))
    for server in (afar, shared):
        runs = Runs(server, lambda text: None)
        for _ in range(3):
            runs.look([])
        assert server.told == []


def test_a_crashed_run_nobody_waits_for_is_begun_again_once_under_one_key():
    crashed = {"id": "a", "name": "otter", "deployment_id": "d", "parameters": {"run": {"profile": "quick"}}, "tags": ["weekly", "again:2"]}
    crashed["state"] = {"message": "Process exited with status code: -9. This indicates that the process exited due to a SIGKILL signal."}
    by_hand = crashed | {"id": "b", "deployment_id": None}
    often = crashed | {"id": "c", "tags": ["again:10"]}
    refused = crashed | {"id": "e", "state": {"message": "Process exited with status code: 1. Process exited with a general error."}}
    server, said = Server(crashed=[crashed, by_hand, often, refused]), []
    for _ in range(2):
        Runs(server, said.append).look([])
    assert list(server.made) == ["again:a"]
    assert server.made["again:a"]["parameters"] == {"run": {"profile": "quick"}}
    assert server.made["again:a"]["tags"] == ["weekly", "again:3"]


def test_a_run_that_waits_for_its_turn_to_begin_again_is_said_once():
    crashed = {"id": "a", "name": "otter", "deployment_id": "d", "parameters": {}, "tags": [], "state": {"message": "its process is gone"}}
    server, said = Server(crashed=[crashed]), []
    runs = Runs(server, said.append)
    for _ in range(3):
        runs.look([])
    assert said == ["the run 'otter' crashed: it is begun again as 'again'"]


def test_a_run_that_the_server_refuses_to_begin_again_keeps_no_other_from_it():
    crashed = {"id": "a", "name": "otter", "deployment_id": "d", "parameters": {"tune": {"rank": 4}}, "tags": [], "state": {"message": ""}}
    server, said = Server(crashed=[crashed, crashed | {"id": "b", "name": "heron", "parameters": {}}]), []

    def api(path, body):
        if body.get("parameters"):
            raise HTTPError(path, 409, "Conflict", Message(), io.BytesIO(b"'rank' was unexpected"))
        return server(path, body)

    runs = Runs(api, said.append)
    for _ in range(2):
        runs.look([])
    assert said == [
        "the run 'otter' crashed and cannot be begun again: 'rank' was unexpected",
        "the run 'heron' crashed: it is begun again as 'again'",
    ]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n[{", b"HTTP/1.1 200 OK\r\n\r\n<html>", b"half"])
def test_a_server_that_dies_while_it_answers_does_not_answer(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once():
            connection, _ = server.accept()
            with connection:
                while b"{}" not in connection.recv(65536):
                    pass
                connection.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(ConnectionError):
            Api(f"http://127.0.0.1:{server.getsockname()[1]}", "migaki:secret")("/flow_runs/filter", {})
        thread.join()


def test_a_server_that_dies_again_while_it_starts_is_started_once_more(monkeypatch):
    server, said, starts = Part("Prefect server", lambda: starts.append(sleeping()) or starts[-1], sleeping()), [], []
    server.process.kill()
    server.process.wait()

    def ready():
        if len(starts) == 1:
            raise MigakiError("the Prefect server did not answer")  # and hangs

    def enough():
        if len(starts) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(supervisor.time, "sleep", lambda seconds: None)
    with pytest.raises(KeyboardInterrupt):
        supervise([server], Runs(Server(), said.append), said.append, ready, [enough])
    assert starts[0].poll() == -9 and starts[1].poll() is None
    assert said[1:] == ["the Prefect server did not answer", "the Prefect server ended by itself (exit code -9): it is started again"]
    starts[1].kill()
    starts[1].wait()


def test_a_server_that_is_away_is_asked_the_next_time():
    def away(path, body):
        raise ConnectionRefusedError(path)

    Runs(away, lambda text: None).look([])


def test_children_of_a_run_end_with_it():
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    until = time.monotonic() + 10
    while not (children := psutil.Process(process.pid).children()) and time.monotonic() < until:
        time.sleep(0.05)
    end_group(process.pid)
    process.wait(5)
    gone, alive = psutil.wait_procs(children, 5)
    assert len(gone) == 1 and alive == []
