"""Prefect for runs in this process: a home of its own under MIGAKI_HOME, whatever profile or server the user has."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from storage import Home

UNSET = (
    "PREFECT_API_URL",
    "PREFECT_API_KEY",
    "PREFECT_PROFILE",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
)


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
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_CLI_COLORS": "false",
    }
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # our own bars are enough


def end_orphans(home: Home) -> None:
    """End servers of this home whose parent was killed: they serve nobody and hold the home's Prefect database."""
    for process in psutil.process_iter(["cmdline", "ppid"]):
        with suppress(psutil.Error):
            if (
                process.info["ppid"] == 1
                and any("prefect.server" in part for part in process.info["cmdline"] or ())
                and process.environ().get("PREFECT_HOME") == str(home.prefect)
            ):
                process.kill()


def interrupted(*_: object) -> None:
    """SIGTERM ends a run as Ctrl-C does: children gone, the run marked as cancelled."""
    raise KeyboardInterrupt


@contextmanager
def local_server(home: Home) -> Iterator[None]:
    """A server for the flows inside, and no heartbeat: a thread of about a second for every flow, of use only where somebody watches for dead runs."""
    end_orphans(home)
    signal.signal(signal.SIGTERM, interrupted)
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), get_client(sync_client=True) as client:
        client.hello()
        yield
