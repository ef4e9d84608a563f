"""`migaki platform --apply` and `--test-notifications`: whom a server tells, and whether it arrives."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.commands.platform import environment
from flows.commands.show import console
from flows.running.heartbeat import called
from flows.running.local import address_of
from flows.running.notifications import ADDRESSES, TARGETS, notify_file, read_notify
from storage.home import Home
from tasks.errors import MigakiError
from tasks.shown import shown


def apply_notifications(home: Home, path: Path | None) -> dict[str, Any]:
    """Give the server just the automations that the file wants, and have its deployments refuse parameters that their flows do not have.

    Raises:
        MigakiError: the file is wrong, or no server is there.
    """
    settings = read_notify(home, path)
    with _server(home):
        from flows.running.automations import apply  # with Prefect, which reads the environment when it is imported
        from flows.running.forms import close_forms

        changed = close_forms() + apply(settings)
    console.print("\n".join(changed) or "nothing to change", markup=False, soft_wrap=True)
    return {"changed": changed}


def try_notifications(home: Home, path: Path | None) -> dict[str, Any]:
    """Have the server tell every target that this is a trial, call the heartbeat's address, and say of each whether it arrived.

    Raises:
        MigakiError: no address is set, the file is wrong, or no server is there.
    """
    settings = read_notify(home, path)
    if not any(map(settings.address, ADDRESSES)):
        file = path or notify_file(home)
        raise MigakiError(
            f"nobody is told anything, as {file} names no address: write `slack: https://...` into it, or webhook or heartbeat, and `chmod 600 {file}`"
        )
    failed: dict[str, str] = {}
    if any(map(settings.address, TARGETS)):
        with _server(home):
            from flows.running.automations import apply, tried  # as above

            apply(settings)
            failed |= tried(settings)
    if settings.address("heartbeat"):
        failed["heartbeat"] = called(settings.address("heartbeat"))
    for name, why in failed.items():
        console.print(shown(f"{name}: {f'DID NOT ARRIVE: {why}' if why else 'arrived'}"), markup=False, soft_wrap=True)
    return {"arrived": {name: not why for name, why in failed.items()}, "exit_code": int(any(failed.values()))}


@contextmanager
def _server(home: Home) -> Iterator[None]:
    """Point this process's Prefect, which is not imported yet, at the server of PREFECT_API_URL, or else at this home's platform.

    Raises:
        MigakiError: neither is there, or it does not answer, or refuses.
    """
    if not os.environ.get("PREFECT_API_URL"):
        if (address := address_of(home)) is None:
            raise MigakiError(
                "there is no server to give automations to: start `migaki platform` with this home, or set PREFECT_API_URL (and PREFECT_API_AUTH_STRING)"
            )
        os.environ |= environment(home, int(address.rpartition(":")[2]))
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    from httpx import HTTPError, InvalidURL

    try:
        yield
    except (HTTPError, InvalidURL, ValueError) as error:  # of ValueError are addresses that are none, and answers of what is no Prefect
        raise MigakiError(
            f"Prefect's server at {os.environ['PREFECT_API_URL']} does not take automations: {type(error).__name__}: {error}"
        ) from error
