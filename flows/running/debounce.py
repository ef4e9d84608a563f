"""Runs that events start: of several in a short time, the last one does the work."""

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext

# One that is at work or done counts too: Prefect lets runs that wait for each other begin in any order, and what was said last is to stand.
DOES_IT = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.COMPLETED]
AUTOMATION = "AUTOMATION"  # what Prefect calls who created a run that an event started


def later_run() -> str:
    """The name of a run of the same deployment that an event started later than this one, and that did not fail; "" where there is none, or this run was
    started otherwise."""
    context = FlowRunContext.get()
    own = context.flow_run if context else None
    if own is None or own.created_by is None or own.created_by.type != AUTOMATION or not (own.deployment_id and own.expected_start_time):
        return ""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=DOES_IT)),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=own.expected_start_time),
    )
    with get_client(sync_client=True) as client:
        later = client.read_flow_runs(flow_run_filter=wanted)
    return next((run.name for run in later if run.id != own.id and run.created_by is not None and run.created_by.type == AUTOMATION), "")
