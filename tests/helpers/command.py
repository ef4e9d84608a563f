"""The command as a user runs it, in a process of its own."""

import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest import mock

import psutil
import pytest

from tests import ROOT


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"MIGAKI_HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def migaki(home: Path, *words: str, check: bool = True, root: Path = ROOT) -> dict:
    """Run the command of the repository `root` as a user would; its last line, parsed. With `check`, its failure fails the test with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.commands.main", *words, "--json"], cwd=root, env=environment(home), capture_output=True, text=True
    )
    assert done.stdout.strip(), done.stderr[-3000:]
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert not check or answer["status"] == "ok", done.stderr[-3000:]
    return answer | {"exit_code": done.returncode, "stderr": done.stderr}


def migaki_in_process(home: Path, *words: str, check: bool = True) -> dict:
    """`migaki` without a process of its own, for what is not about how the command starts; tables go where standard error was at the import."""
    from flows.commands.main import main

    out, told = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"MIGAKI_HOME": str(home)}),
        mock.patch.object(sys, "argv", ["migaki", *words, "--json"]),
        redirect_stdout(out),
        redirect_stderr(told),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    answer = json.loads(out.getvalue().strip().splitlines()[-1])
    assert not check or answer["status"] == "ok", told.getvalue()[-3000:]
    return answer | {"exit_code": ended.value.code, "stderr": told.getvalue()}


def still_running(processes: Iterable[psutil.Process], seconds: float = 30) -> list[psutil.Process]:
    """Those that have not come to an end within that time; one that nobody has fetched the exit status of has ended."""
    alive, until = list(processes), time.monotonic() + seconds
    while (alive := [process for process in alive if _runs(process)]) and time.monotonic() < until:
        time.sleep(0.1)
    return alive


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Served:
    """`migaki serve` as a program of its own, and what it says."""

    def __init__(self, home, *words):
        command = [sys.executable, "-m", "flows.commands.main", "serve", "--port", "0", *words]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment(home), stderr=subprocess.PIPE, text=True)
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stderr], daemon=True)
        self.reader.start()

    def says(self, pattern: str, seconds: float) -> str:
        """What it says next that has this in it."""
        end, heard = time.monotonic() + seconds, []
        while not heard or not (found := re.search(pattern, heard[-1])):
            try:
                heard.append(self.lines.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"{pattern!r} was not said within {seconds} s: {''.join(heard)}") from None
        return found[0]

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self.reader.join(10)
        self.process.stderr.close()
