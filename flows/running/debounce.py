"""Runs that events start: of several in a short time, the last one does the work."""

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext

# One that is at work or done counts too: runs that wait for each other begin in any order, and what was said last is to stand.
DOES_IT = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.COMPLETED]
AUTOMATION = "AUTOMATION"  # what Prefect calls who created a run that an event started


def later_run() -> str:
    """The name of a run of the same deployment that a later event started than this one's, and that did not fail; "" where there is none, or this run was
    started otherwise."""
    context = FlowRunContext.get()
    own = context.flow_run if context else None
    if own is None or not _by_event(own) or not own.deployment_id:
        return ""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=DOES_IT)),
    )
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC)
    return next((run.name for run in found if _by_event(run) and _invocation(run) > _invocation(own)), "")


def _by_event(run: FlowRun) -> bool:
    return run.created_by is not None and run.created_by.type == AUTOMATION


def _invocation(run: FlowRun) -> str:
    """Of the automation, at the end of the key that Prefect gives a run that it starts: a UUID of version 7, which orders by when it was made. A busy server
    may enter the run of an earlier event later, and a run that had to wait is expected at another time than it was meant for."""
    return (run.idempotency_key or "").rpartition(" ")[2]
