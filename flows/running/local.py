"""Prefect for runs in this process: a home of its own under MIGAKI_HOME, whatever profile or server the user has."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from flows.running.imports import without_collections
from flows.running.secret import new_secret
from storage.failures import no_space
from storage.home import Home
from tasks.errors import MigakiError

ROOT = Path(__file__).resolve().parents[2]
APP = "flows.running.server:app"

UNSET = (
    "PREFECT_API_URL",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_PROFILE",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
)

SERVER_DISK = 2 << 20  # bytes that the server's database takes
RUN = "MIGAKI_RUN_PID"  # in the environment of a server: the process it serves

interruption = threading.Event()  # somebody asked this process to end its run


def isolate(home: Home) -> None:
    """Point this process's Prefect at the home's own folder. Call before Prefect is imported: it reads its environment then."""
    for name in [*UNSET, *[name for name in os.environ if name.startswith("PREFECT__")]]:
        os.environ.pop(name, None)
    home.prefect.mkdir(exist_ok=True)
    os.environ |= {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_PROFILES_PATH": str(home.prefect / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLI_COLORS": "false",
    }
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # our own bars are enough


def servers(prefect_home: Path) -> Iterator[psutil.Process]:
    """Servers that `start_server` began with this folder as theirs, and that still run."""
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if APP in (process.info["cmdline"] or ()) and process.environ().get("PREFECT_HOME") == str(prefect_home):
                yield process


def address_of(home: Home) -> str | None:
    """Where this home's platform answers; None where none runs."""
    words = next((process.info["cmdline"] for process in servers(home.root / "platform")), None)
    return f"http://127.0.0.1:{words[words.index('--port') + 1]}" if words else None


def end_orphans(home: Home) -> None:
    """End servers of this home whose run was killed: they serve nobody and hold the home's Prefect database."""
    for process in servers(home.prefect):
        with suppress(psutil.Error):
            if not psutil.pid_exists(int(process.environ().get(RUN, os.getpid()))):
                process.kill()


def interrupted(*_: object) -> None:
    """Ctrl-C and SIGTERM end a run alike: children gone, the run marked as cancelled, whatever error follows from ending it midway."""
    interruption.set()
    raise KeyboardInterrupt


def server_environment(secret: str, port: int) -> dict[str, str]:
    """What the environment of a server has beside its clients'. The secret is in no command line: those everybody on the machine can read."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",  # in place of any
        "PREFECT_SERVER_UI_API_URL": "/api",  # of the name that the page was opened by
        "PREFECT__SERVER_FINAL": "1",  # takes 50 MB less
    }


def start_server(port: int, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A Prefect API on the loopback address, in a session of its own: Ctrl-C reaches the run, which still needs the server to say how it ended."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT), "--factory", APP, *options]
    with log.open("ab") as out:
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def local_server(home: Home, meanwhile: Callable[[], object] = lambda: None) -> Iterator[None]:
    """A server for the flows inside, and no heartbeat: a thread of about a second for every flow, of use only where somebody watches for dead runs.

    Args:
        meanwhile: done while the server starts, which takes seconds; what it makes is left out of the garbage collector (`without_collections`).
    """
    end_orphans(home)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    port, secret, log = free_port(), new_secret(), home.prefect / "server.log"  # a secret of this run alone, and not in its environment
    own = {RUN: str(os.getpid()), "PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
    log.unlink(missing_ok=True)
    server = start_server(port, os.environ | server_environment(secret, port) | own, log)
    try:
        with without_collections():
            from prefect.events.worker import EventsWorker
            from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

            known = {PREFECT_API_URL: f"http://127.0.0.1:{port}/api", PREFECT_API_AUTH_STRING: secret}
            meanwhile()
        wait_for_server(server, port, log)
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} | known):
            yield
            # What is told too late ends up on the terminal, as errors; that something is still to be told is no news.
            logging.getLogger(EventsWorker.__name__).setLevel(logging.ERROR)
            EventsWorker.drain_all(timeout=5)
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for_server(server: subprocess.Popen[bytes], port: int, log: Path, seconds: float = 120) -> None:
    """Return when the server answers.

    Raises:
        MigakiError: it ended, or did not answer in time; names its log.
        StorageError: it ended, and the disk is full.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.poll() is not None:
            if shutil.disk_usage(log.parent).free < SERVER_DISK:
                raise no_space(log.parent, "Prefect's server was started")
            raise MigakiError(f"the Prefect server ended at once; its last words are in {log} (is port {port} taken?)")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.05)
    raise MigakiError(f"the Prefect server did not answer within {seconds:.0f} s; see {log}")
