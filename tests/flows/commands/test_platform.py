"""`migaki platform` beside another of its home, after one that was killed, and at its end: with real processes. And what it is told to give to another server."""

import json
import os
import re
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from flows.commands.notifications import _server
from flows.commands.platform import alone, end, refuse_taken_port
from flows.running.local import APP
from flows.running.supervisor import RUN
from storage.home import Home
from tasks.errors import MigakiError

SLEEPS = "import time; time.sleep(60)"


def begun(folder, *words, **environment):
    """A process that was begun with this folder as Prefect's, as its environment says once it has become another program."""
    command = [sys.executable, "-c", SLEEPS, *words]
    process = subprocess.Popen(command, env=os.environ | {"PREFECT_HOME": str(folder)} | environment, start_new_session=True)
    while SLEEPS not in psutil.Process(process.pid).cmdline():
        time.sleep(0.01)
    return process


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.root.mkdir()
    return home


def test_a_second_platform_of_a_home_is_refused_and_touches_nothing(home):
    with alone(home):
        server = begun(home.root / "platform", APP, "--port", "4217")
        refused = pytest.raises(
            MigakiError, match="runs already at http://127.0.0.1:4217: end that one first, or give this one another home"
        )
        with refused, alone(home):
            pass
        assert server.poll() is None
    server.kill()
    server.wait()


def test_what_a_killed_platform_left_is_ended_before_the_next_begins(home, tmp_path, capsys):
    own = home.root / "platform"
    left = [begun(own, APP, "--port", "4217"), begun(own, "prefect", "worker", "start"), begun(own, **{RUN: "run-1"})]
    others = [begun(tmp_path / "another", APP, "--port", "4218"), begun(own)]  # of another home; a terminal whose user looks at this one
    with alone(home):
        assert None not in [process.poll() for process in left]
        assert [process.poll() for process in others] == [None, None]
    assert "3 of its processes are left" in capsys.readouterr().err
    for process in others:
        process.kill()
        process.wait()


def test_at_its_end_nothing_is_left_of_a_worker_that_has_to_be_killed(monkeypatch):
    code = f"import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); subprocess.Popen([sys.executable, '-c', {SLEEPS!r}], start_new_session=True); {SLEEPS}"
    worker = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    until = time.monotonic() + 10
    while not (runs := psutil.Process(worker.pid).children()) and time.monotonic() < until:
        time.sleep(0.05)
    clock = iter([0.0])
    monkeypatch.setattr("flows.commands.platform.time", type("Time", (), {"monotonic": lambda: next(clock, 100.0)}))
    end([worker])
    worker.wait(5)
    gone, alive = psutil.wait_procs(runs, 5)
    assert len(gone) == 1 and alive == []


@pytest.mark.parametrize("port", [-1, 0, 65_536])
def test_a_port_that_is_none_is_refused_by_its_value(port):
    with pytest.raises(MigakiError, match=f"--port {port} is no port: accepted are 1 to 65535"):
        refuse_taken_port(port)


@pytest.mark.parametrize(
    "wrong",
    [json.JSONDecodeError("Expecting value", "<html>", 0), httpx.InvalidURL("Invalid port: '99999'"), httpx.ConnectError("refused")],
)
def test_an_address_that_is_no_prefect_is_said_in_words(home, monkeypatch, wrong):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")
    words = f"Prefect's server at http://127.0.0.1:9/api does not take automations: {type(wrong).__name__}: {wrong}"
    with pytest.raises(MigakiError, match=re.escape(words)), _server(home):
        raise wrong
