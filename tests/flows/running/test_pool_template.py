"""What a run may say of the process it runs in: nothing. That the server refuses it, and a worker runs nothing of it: tests/e2e/test_platform.py."""

import asyncio
import json

import prefect.workers.base
import pytest
from prefect.workers.process import ProcessJobConfiguration

from tests import ROOT

TEMPLATE = json.loads((ROOT / "work-pool.json").read_text(encoding="utf-8"))
HOSTILE = {
    "command": "touch x",
    "env": {"MIGAKI_HOME": "/elsewhere", "LD_PRELOAD": "/x.so"},
    "env.PATH": "/elsewhere",
    "working_dir": "/etc",
    "labels": {"a": "b"},
    "name": "x",
    "stream_output": False,
}


@pytest.mark.parametrize("names", [*[[name] for name in HOSTILE], list(HOSTILE)], ids=str)
def test_nothing_of_a_run_reaches_its_process(names, monkeypatch):
    async def resolved(template, client):
        """In place of a server's: there is no block and no variable of Prefect's in it."""
        return template

    for name in ("resolve_block_document_references", "resolve_variables"):
        monkeypatch.setattr(prefect.workers.base, name, resolved)
    said = {name: HOSTILE[name] for name in names}
    read = ProcessJobConfiguration.from_template_and_values.__wrapped__  # without the client that it would start a server for
    made = asyncio.run(read(ProcessJobConfiguration, TEMPLATE, said, None))
    assert (made.command, made.env, made.working_dir, made.labels, made.name, made.stream_output) == (None, {}, None, {}, None, True)


def test_the_server_takes_no_variable():
    assert TEMPLATE["variables"]["additionalProperties"] is False and TEMPLATE["variables"]["properties"] == {}
