"""The command in this process, where how it and its Prefect server start is not what a test is about."""

import contextlib
import io
import json
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import pytest

from flows.running import local
from storage.home import Home


@pytest.fixture(scope="module")
def migaki_here(tmp_path_factory):
    """`tests.helpers.command.migaki` without a process of its own for each run and for each run's Prefect server: one server serves all of them."""
    own, handlers = Home(tmp_path_factory.mktemp("prefect")), {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        local.isolate(own)
        from prefect.settings import PREFECT_HOME, PREFECT_LOGGING_LEVEL, temporary_settings

        # Whatever test came before has imported Prefect, which does not look at the environment again.
        with temporary_settings({PREFECT_HOME: own.prefect, PREFECT_LOGGING_LEVEL: "CRITICAL"}), local.local_server(own):
            with mock.patch.object(local, "local_server", lambda home: contextlib.nullcontext()):
                yield lambda home, *words, check=True: run(Path(home), words, check)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run(home: Path, words: tuple[str, ...], check: bool) -> dict:
    from flows.commands.main import main

    out, told = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"MIGAKI_HOME": str(home)}),
        mock.patch.object(sys, "argv", ["migaki", *words, "--json"]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(told),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    answer = json.loads(out.getvalue().strip().splitlines()[-1])
    assert not check or answer["status"] == "ok", told.getvalue()[-3000:]
    return answer | {"exit_code": ended.value.code, "stderr": told.getvalue()}
