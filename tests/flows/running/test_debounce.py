"""Of runs that events started in a short time, the last does the work."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

import flows.running.debounce
from flows.running.debounce import later_run

DEPLOYMENT, NOW = uuid4(), datetime(2026, 3, 1, tzinfo=UTC)


def run(name, by="AUTOMATION", seconds=0):
    created_by = SimpleNamespace(type=by) if by else None
    return SimpleNamespace(name=name, deployment_id=DEPLOYMENT, created=NOW + timedelta(seconds=seconds), created_by=created_by)


@pytest.fixture
def inside(monkeypatch):
    """Call `later_run` in one run while others wait; what the server was asked for is in `asked`."""
    asked = []

    def call(own, *waiting):
        client = SimpleNamespace(read_flow_runs=lambda flow_run_filter, sort: asked.append(flow_run_filter) or list(waiting))
        monkeypatch.setattr(flows.running.debounce, "get_client", lambda sync_client: nullcontext(client))
        context = SimpleNamespace(get=lambda: own and SimpleNamespace(flow_run=own))
        monkeypatch.setattr(flows.running.debounce, "FlowRunContext", context)
        return later_run()

    call.asked = asked
    return call


def test_a_later_one_that_an_event_started_takes_over(inside):
    own = run("first")
    assert inside(own, run("by hand", "USER", 9), run("before", seconds=-1), own, run("last", seconds=3)) == "last"
    [asked] = inside.asked
    assert asked.deployment_id.any_ == [DEPLOYMENT]
    assert {str(kind.value) for kind in asked.state.type.any_} == {"SCHEDULED", "PENDING", "RUNNING", "COMPLETED"}


def test_the_last_one_works(inside):
    own = run("last", seconds=3)
    assert inside(own, own, run("first")) == "" and inside(own) == ""


@pytest.mark.parametrize("own", [None, run("by hand", "USER"), run("unknown", None)])
def test_what_no_event_started_works_whoever_waits(inside, own):
    assert inside(own, run("last", seconds=3)) == "" and inside.asked == []
