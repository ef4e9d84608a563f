"""Of runs that events started in a short time, the last does the work."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

import flows.running.debounce
from flows.running.debounce import later_run

DEPLOYMENT, AUTOMATION = uuid4(), "automation 8e10dc7b-1a32-446c-baff-26e4dfeacdc0, action 0, invocation "
NOW, BEGUN = datetime(2026, 3, 1, tzinfo=UTC), 0x01A22D028065  # milliseconds, as a UUID of version 7 begins with them


def run(name, by="AUTOMATION", seconds=0, entered=0):
    """
    Args:
        seconds: when the event came.
        entered: when the server entered the run.
    """
    milliseconds = f"{BEGUN + 1000 * seconds:012x}"
    return SimpleNamespace(
        name=name,
        deployment_id=DEPLOYMENT,
        created=NOW + timedelta(seconds=entered),
        created_by=SimpleNamespace(type=by) if by else None,
        idempotency_key=f"{AUTOMATION}{milliseconds[:8]}-{milliseconds[8:]}-7ef4-aa0c-d4b2951d8b9a" if by == "AUTOMATION" else None,
    )


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


def test_the_last_event_counts_where_a_busy_server_entered_its_run_first(inside):
    first, last = run("first", entered=6), run("last", seconds=1, entered=2)
    assert inside(first, first, last) == "last" and inside(last, first, last) == ""


@pytest.mark.parametrize("own", [None, run("by hand", "USER"), run("unknown", None)])
def test_what_no_event_started_works_whoever_waits(inside, own):
    assert inside(own, run("last", seconds=3)) == "" and inside.asked == []
