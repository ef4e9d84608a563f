"""Processes that a run starts."""

import ctypes
import os
import time

import psutil


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment without Prefect's part of it, for a process that is started: what holds the platform's secret owns the machine.

    Readers of documents, trainers, pip and whatever else runs beside a flow ask Prefect nothing. The flow's own process knows the secret and must.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | more


def leave_with(pid: int) -> None:
    """End this process when that one is gone, however it ended: a process in a session of its own is out of any group's reach."""
    while psutil.pid_exists(pid):
        time.sleep(1)
    os._exit(1)


def give_back_memory() -> None:
    """Let the C library return what it holds of freed memory to the system, where it can (glibc); after work that used much for a moment."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
