"""Hands a stage to its work pool, waits for it, and hands it over again where the run died."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import FlowRun, State
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey, TaskRunFilter, TaskRunFilterId
from prefect.client.schemas.objects import WorkerStatus
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.states import Cancelling

from flows.running.names import run_name, tags_of
from flows.running.parameters import RunSettings
from storage.artifacts import ArtifactRef, ArtifactStore
from tasks.errors import MigakiError
from tasks.settings import StageSettings
from tasks.stages.execute import Outcome, ingredients
from tasks.stages.spec import StageSpec
from tasks.stages.work import Context

POLL = 3.0  # seconds between two looks at a run
LOOK = 30.0  # at the pool's workers
AGAIN = 5  # times that a stage whose run died or failed is handed over again
FIRST_WAIT, LONGEST_WAIT = 5.0, 120.0  # seconds before that: longer each time
INTERACTIVE, BATCH = "interactive", "batch"
OURS = ("MigakiError", "StorageError", "Unreadable")  # what nobody mends by trying again


def run_on_pool(
    spec: StageSpec, settings: StageSettings, run: RunSettings, inputs: dict[str, ArtifactRef], run_id: str, context: Context
) -> Outcome:
    """The artifact of a stage from a worker of its pool.

    The idempotency key is the artifact's, so that whoever wants the same at the same time waits for the same run: a parent that was killed and begun
    again finds what it had started. A run that died is followed by another, which goes on from its checkpoint.

    Raises:
        MigakiError: the run did not complete, took longer than `run.stage_hours`, left no artifact here, or no worker is there to begin it.
    """
    key = ingredients(spec, settings, inputs, context).key
    store = ArtifactStore(context.home)
    parameters = {
        spec.command: settings.model_dump(mode="json"),
        "run": run.model_copy(update={"profile_applied": True}).model_dump(mode="json"),
        "parent_run": run_id,
        "inputs": {role: ref.id for role, ref in inputs.items()},
    } | dict(spec.part)
    if FlowRunContext.get() is None:
        raise MigakiError(f"{spec.name} can be handed to a work pool by a flow run of Prefect alone, and this is none: set run.where=local")
    for again in range(AGAIN + 1):
        if (kept := store.find(spec.kind, key)) is not None:
            return Outcome(kept, reused=again == 0)
        flow_run = _handed_over(spec, parameters, key, run)
        state = _waited_for(flow_run, spec, run, context)
        if state.is_completed():
            break
        message = f"{spec.name} ended as {state.name} on its work pool: {state.message or 'no message'} (flow run {flow_run.name!r})"
        died = state.is_crashed() or state.is_failed() or (state.is_cancelled() and _cancelled_by_another(flow_run))
        if again == AGAIN or not died or any(name in (state.message or "") for name in OURS):
            raise MigakiError(message)
        wait = min(FIRST_WAIT * 2**again, LONGEST_WAIT)
        context.log(f"{message}; it is handed over again in {wait:.0f} s")
        time.sleep(wait)
    if (made := store.find(spec.kind, key)) is None:
        raise MigakiError(
            f"{spec.name} completed on its work pool (flow run {flow_run.name!r}), but its artifact is not in this MIGAKI_HOME: "
            "the pool's job variables must give all workers the same shared folder, and the same version of Migaki"
        )
    return Outcome(made, reused=False)


def _handed_over(spec: StageSpec, parameters: dict[str, Any], key: str, run: RunSettings) -> FlowRun:
    """The run of a stage that has not ended: somebody's, or a new one."""
    attempt = 1
    while _has_ended(f"{key}:{attempt}"):  # without the artifact, or it would have been there
        attempt += 1
    started = run_deployment(
        f"{spec.command}/{spec.command}",
        parameters=parameters,
        as_subflow=True,
        idempotency_key=f"{key}:{attempt}",
        timeout=0,
        flow_run_name=run_name(spec.name, run),
        tags=tags_of(spec.name, run, spec.pool),
        work_queue_name=_queue(),
    )
    return cast(FlowRun, started)  # a coroutine only inside an event loop, and this is none


def _queue() -> str:
    """Of the pool: what a schedule started lets what people started go first."""
    context = FlowRunContext.get()
    return BATCH if context and context.flow_run and context.flow_run.auto_scheduled else INTERACTIVE


def _waited_for(flow_run: FlowRun, spec: StageSpec, run: RunSettings, context: Context) -> State[Any]:
    """The last state of a run.

    Raises:
        MigakiError: no worker of its pool is alive for `run.worker_minutes`, or it takes longer than `run.stage_hours`.
    """
    alone_since: float | None = None
    begun, looked = None, time.monotonic() - LOOK + POLL
    with get_client(sync_client=True) as client, _cancelled_with_its_parent(client, flow_run):
        while True:
            try:
                state = client.read_flow_run(flow_run.id).state
                if state is not None and state.is_final():
                    return state
                if state is not None and state.is_running():
                    begun = begun or time.monotonic()
                    if time.monotonic() - begun > run.stage_hours * 3600:
                        _end(client, flow_run.id, "it took longer than run.stage_hours")
                        raise MigakiError(
                            f"{spec.name} has run for run.stage_hours = {run.stage_hours:g} on its work pool and was ended (flow run {flow_run.name!r})"
                        )
                elif time.monotonic() - looked >= LOOK:
                    looked = time.monotonic()
                    alone_since = _without_worker(client, spec, run, alone_since, context)
            except httpx.TransportError as error:  # the server is being started again
                context.log(f"Prefect's server does not answer ({type(error).__name__}): {spec.name} is waited for on")
                time.sleep(LOOK)
            time.sleep(POLL)


def _without_worker(client: SyncPrefectClient, spec: StageSpec, run: RunSettings, since: float | None, context: Context) -> float | None:
    """Since when nobody is there to begin the run; None where somebody is.

    Raises:
        MigakiError: for `run.worker_minutes`.
    """
    if any(worker.status == WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(spec.pool)):
        return None
    since = since or time.monotonic()
    context.log(f"no {spec.pool} worker is alive: {spec.name} waits for one (`prefect worker start --pool {spec.pool}`)")
    if time.monotonic() - since > run.worker_minutes * 60:
        raise MigakiError(
            f"no {spec.pool} worker has been alive for run.worker_minutes = {run.worker_minutes:g}, and {spec.name} was not begun: "
            f"start one with `prefect worker start --pool {spec.pool}`, and run the same again"
        )
    return since


@contextmanager
def _cancelled_with_its_parent(client: SyncPrefectClient, flow_run: FlowRun) -> Iterator[None]:
    """End a stage where the run that waits for it is cancelled: it would hold its device for hours, for nobody. Prefect ends the process of that run alone.
    A stage that another run handed over, and waits for, goes on."""
    try:
        yield
    except BaseException:  # as Prefect raises where the process is told to end
        own = FlowRunContext.get()
        parent = client.read_flow_run(own.flow_run.id) if own and own.flow_run else None
        if parent is not None and _is_cancelled(parent):
            first = _parent(client, flow_run)
            if first is None or first.id == parent.id or (first.state and first.state.is_final()):
                _end(client, flow_run.id, "the run that wanted it was cancelled")
        raise


def _cancelled_by_another(flow_run: FlowRun) -> bool:
    """Whether a stage ended with another run, which handed it over and was cancelled; what a person cancels by itself stays so."""
    own = FlowRunContext.get()
    with get_client(sync_client=True) as client:
        first = _parent(client, flow_run)
    return first is not None and own is not None and own.flow_run is not None and first.id != own.flow_run.id and _is_cancelled(first)


def _parent(client: SyncPrefectClient, flow_run: FlowRun) -> FlowRun | None:
    """The run that handed a stage over."""
    if flow_run.parent_task_run_id is None:
        return None
    found = client.read_flow_runs(task_run_filter=TaskRunFilter(id=TaskRunFilterId(any_=[flow_run.parent_task_run_id])))
    return found[0] if found else None


def _is_cancelled(flow_run: FlowRun) -> bool:
    return flow_run.state is not None and (flow_run.state.is_cancelling() or flow_run.state.is_cancelled())


def _end(client: SyncPrefectClient, flow_run_id: UUID, why: str) -> None:
    client.set_flow_run_state(flow_run_id, Cancelling(message=why))


def _has_ended(idempotency_key: str) -> bool:
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[idempotency_key])))
    return any(run.state and run.state.is_final() for run in runs)
