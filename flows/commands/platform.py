"""A whole platform on one machine: the Prefect server, the work pools, a worker for each, and every deployment. For a team's server, see README."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from flows.commands.show import console
from flows.running.events import tell_of_documents
from flows.running.heartbeat import heartbeat
from flows.running.local import APP, address_of, server_environment, start_server, wait_for_server
from flows.running.notifications import NotifySettings, read_notify
from flows.running.secret import made_secret, read_secret, secret_file
from flows.running.supervisor import RUN, Api, Part, Runs, end_group, supervise, unwell, worker_name
from flows.running.watch import WatchSettings, read_watch, watch_from
from storage.audit import note_state, system_user
from storage.home import Home
from storage.locks import try_lock
from tasks.errors import MigakiError
from tasks.processes import child_environment
from tasks.shown import shown

ROOT = Path(__file__).resolve().parents[2]
# What a run may say of the process it runs in: nothing. Command, folder and environment are the worker's.
TEMPLATE = ROOT / "work-pool.json"
POOLS = {"cpu": 2, "gpu": 1}  # runs at once: a waiting parent holds a cpu slot, never a gpu slot
QUEUES = {"interactive": 1, "batch": 2}  # priorities in the gpu pool


def environment(home: Home, port: int) -> dict[str, str]:
    """What the workers and the commands see: this home's own Prefect folder, whatever profile the user has."""
    folder = home.root / "platform"
    folder.mkdir(exist_ok=True)
    return child_environment() | {
        "PREFECT_HOME": str(folder),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_AUTH_STRING": made_secret(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MIGAKI_HOME": str(home.root),
        "MIGAKI_CODE": str(ROOT),
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0"),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "transformers,trl,accelerate,datasets",
        "TQDM_DISABLE": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def prefect(*arguments: str, env: dict[str, str]) -> str:
    """Run one `prefect` command to its end.

    Raises:
        MigakiError: it failed; the message is its own.
    """
    return _ran(f"prefect {' '.join(arguments)}", ["-m", "prefect", "--no-prompt", *arguments], env)


def _ran(shown: str, words: list[str], env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *words], env=env, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise MigakiError(f"`{shown}` failed: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout


def start(home: Home, port: int, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A long-lived `prefect` command in a process group of its own, so that it and its children can be ended together."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            env=environment(home, port),
            cwd=ROOT,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def serving(home: Home, port: int, log: Path) -> subprocess.Popen[bytes]:
    """The server. It needs no credentials to ask another, and its log names no request."""
    clients = environment(home, port)
    secret = clients.pop("PREFECT_API_AUTH_STRING")
    return start_server(port, clients | server_environment(secret, port), log)


def set_up(home: Home, port: int, limits: dict[str, int] | None = None, notify: Path | None = None) -> None:
    """Pools, queues, deployments and automations; doing it again changes nothing.

    Args:
        notify: the file that says who is told what, if not the home's own.
    """
    env = environment(home, port)
    for pool, limit in (limits or POOLS).items():
        prefect("work-pool", "create", pool, "--type", "process", "--base-job-template", str(TEMPLATE), "--overwrite", env=env)
        prefect("work-pool", "set-concurrency-limit", pool, str(limit), env=env)
    known = prefect("work-queue", "ls", "--pool", "gpu", env=env)
    for queue, priority in QUEUES.items():
        if queue not in known:
            prefect("work-queue", "create", queue, "--pool", "gpu", "--priority", str(priority), env=env)
    prefect("deploy", "--all", env=env)
    # In a process of its own: Prefect would stay in the memory of this one, which lasts as long as the platform.
    named = ["--notify", str(notify.absolute())] if notify else []
    _ran("migaki platform --apply", ["-m", "flows.commands.main", "platform", "--apply", *named], env)


def note_settings(home: Home, port: int, watch: WatchSettings = WatchSettings()) -> None:
    """Enter into `audit` what of the platform's settings differs from when it was last started; of files, by what they hold."""
    settings: dict[str, dict[str, Any]] = {"server": {"port": port}}
    settings |= {f"pool {pool}": {"runs_at_once": limit} for pool, limit in POOLS.items()}
    settings |= {f"queue {queue}": {"priority": priority} for queue, priority in QUEUES.items()}
    settings |= {"index.watch": watch.model_dump()} if watch.watch else {}
    for path in (ROOT / "prefect.yaml", TEMPLATE):
        settings[path.name] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    note_state(home, system_user(), "setting", "platform", settings)


def start_worker(home: Home, port: int, pool: str, log: Path) -> subprocess.Popen[bytes]:
    queues = [part for queue in QUEUES for part in ("--work-queue", queue)] if pool == "gpu" else []
    return start(home, port, log, "worker", "start", "--pool", pool, "--name", worker_name(pool), "--type", "process", *queues)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End each process and everything it started, which may lead groups of its own."""
    started: list[psutil.Process] = []
    for process in processes:
        if process.poll() is None:
            with suppress(psutil.Error):
                started += psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGTERM)
    until = time.monotonic() + 20
    for process in processes:
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    for child in started:
        if child.is_running():  # still the same: numbers are given out again
            end_group(child.pid)


def left_in(folder: Path) -> Iterator[psutil.Process]:
    """The server, the workers and the runs that a platform began with this folder as Prefect's."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words, own = process.cmdline(), process.environ()
            if own.get("PREFECT_HOME") == str(folder) and (APP in words or {"worker", "start"} <= {*words} or RUN in own):
                yield process


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Be the one platform of a home: two on its database would each take the other's runs for orphans. What a killed one left is ended first.

    Raises:
        MigakiError: another one runs.
    """
    folder = home.root / "platform"
    folder.mkdir(exist_ok=True)
    if (lock := try_lock(folder / "lock")) is None:
        there = f" at {address}" if (address := address_of(home)) else ""
        raise MigakiError(f"a platform of {home.root} runs already{there}: end that one first, or give this one another home with --home")
    try:
        if left := list(left_in(folder)):
            say(
                f"a platform of this home was killed, and {len(left)} of its processes are left: they are ended, and what they ran begins again"
            )
            for process in left:
                end_group(process.pid)
            psutil.wait_procs(left, 20)
        yield
    finally:
        os.close(lock)


def refuse_taken_port(port: int) -> None:
    """Raises MigakiError where something listens already: its answers would be taken for our server's."""
    if not 0 < port < 1 << 16:
        raise MigakiError(f"--port {port} is no port: accepted are 1 to 65535")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise MigakiError(f"port {port} is taken, perhaps by another platform: end that one, or choose with --port")


def state(home: Home) -> tuple[str, str]:
    """What `migaki doctor` says of this home's platform, and what is wrong with it ("" for nothing)."""
    if (address := address_of(home)) is None:
        return "not running", ""
    asked = urllib.request.Request(f"{address}/api/admin/version")
    try:
        asked.add_header("Authorization", f"Basic {b64encode(read_secret(home).encode()).decode()}")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return f"Prefect {json.load(answer)} at {address}", ""
    except (OSError, MigakiError) as error:
        return f"at {address}", f"the platform at {address} does not answer to this home's secret ({error}): end it, and start it anew"


def say(text: str) -> None:
    """On the terminal, of a text with names of files."""
    console.print(shown(text), soft_wrap=True)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def serve(home: Home, port: int, notify: Path | None, said: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Run the platform until Ctrl-C or SIGTERM, then end the server, the workers and what they run.

    Args:
        notify: the file that says who is told what, if not the home's own.
        said: settings over those of the home's file, by section.
    """
    told, watching = read_notify(home, notify), read_watch(home, said)
    with alone(home):
        refuse_taken_port(port)
        return _serve(home, port, notify, told, watching)


def _serve(home: Home, port: int, notify: Path | None, told: NotifySettings, watching: WatchSettings) -> dict[str, Any]:
    signal.signal(signal.SIGTERM, _interrupted)
    folder = home.root / "platform"
    api = Api(f"http://127.0.0.1:{port}", made_secret(home))
    watch = watch_from(home, watching, partial(tell_of_documents, api), say)
    log = folder / "platform.log"
    console.print("starting the Prefect server ...")
    server = Part("Prefect server", lambda: serving(home, port, log), serving(home, port, log))
    parts = [server]
    try:
        wait_for_server(server.process, port, log)
        set_up(home, port, notify=notify)
        note_settings(home, port, watching)
        parts += [_worker(home, port, pool, log) for pool in POOLS]
        console.print(
            f"Prefect is at http://127.0.0.1:{port} with the pools cpu and gpu; log: {log}\n"
            f"To sign in, enter the line of {secret_file(home)} in the one field of the page (it stands there in place of admin:pass).\n"
            f"The main job is http://127.0.0.1:{port}/v2/deployments?flowOrDeploymentName=retrain: its Run, then Custom run, opens the form of its settings.\n"
            "Whoever holds that line can run any command on this machine as you: give it to nobody who may not.\n"
            "A part that dies is started again, and runs go on from what they have. Ctrl-C ends it",
            soft_wrap=True,
        )
        beats = heartbeat(told, lambda: unwell(parts, api), console.print)
        supervise(parts, Runs(api, console.print), console.print, lambda: wait_for_server(server.process, port, log), [beats, watch])
    except KeyboardInterrupt:
        return {"status": "ended"}
    finally:
        end([part.process for part in parts])


def _worker(home: Home, port: int, pool: str, log: Path) -> Part:
    def start() -> "subprocess.Popen[bytes]":
        return start_worker(home, port, pool, log)

    return Part(f"worker of the pool {pool}", start, start())
