"""The command in this process, where how it and its Prefect server start is not what a test is about."""

import contextlib
import os
import signal
from unittest import mock

import pytest

from flows.running import local
from storage.home import Home
from tests.helpers.command import migaki_in_process


@pytest.fixture(scope="module")
def migaki_here(tmp_path_factory):
    """`tests.helpers.command.migaki` without a process of its own for each run and for each run's Prefect server: one server serves all of them."""
    own = Home(tmp_path_factory.mktemp("prefect"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        local.isolate(own)
        from prefect.settings import PREFECT_HOME, PREFECT_LOGGING_LEVEL, temporary_settings

        with (
            # Whatever test came before has imported Prefect, which does not look at the environment again.
            temporary_settings({PREFECT_HOME: own.prefect, PREFECT_LOGGING_LEVEL: "CRITICAL"}),
            local.local_server(own),
            mock.patch.object(local, "local_server", return_value=contextlib.nullcontext()),
        ):
            yield migaki_in_process
    for number, handler in handlers.items():
        signal.signal(number, handler)
