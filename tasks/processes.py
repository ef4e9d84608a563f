"""Processes that a run starts."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

PATIENCE = 30  # seconds for a process that is told to end, and for the children that it ends
LAST_WORDS = 2000  # characters of a failed process's error output that a message quotes


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment without Prefect's part of it, for a process that is started: what holds the platform's secret owns the machine.

    Readers of documents, trainers, pip and whatever else runs beside a flow ask Prefect nothing. The flow's own process knows the secret and must.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | more


def listen_to(command: Sequence[str], hear: Callable[[str], object], errors: Path) -> int:
    """Run a command in a session of its own and hand on every line that it says, until it ends. An exception here ends it and its children.

    Args:
        errors: file that takes what it says on standard error; `last_words` reads it.

    Returns:
        What it ended with.
    """
    with errors.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            for line in process.stdout or ():
                hear(line)
            return process.wait()
        finally:
            _end(process)


def last_words(errors: Path) -> str:
    return errors.read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]


def _end(process: subprocess.Popen[str]) -> None:
    """After an interruption: a process that ends its children when told to may; what then stays is killed with its whole session."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def leave_with(pid: int) -> None:
    """End this process when that one is gone, however it ended: a process in a session of its own is out of any group's reach."""
    while psutil.pid_exists(pid):
        time.sleep(1)
    os._exit(1)


def give_back_memory() -> None:
    """Let the C library return what it holds of freed memory to the system, where it can (glibc); after work that used much for a moment."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
