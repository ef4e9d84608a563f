"""Hands a stage to its work pool, and waits for it."""

from typing import cast

from prefect import get_client
from prefect.client.schemas import FlowRun
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment

from flows.running.parameters import RunSettings
from storage.artifacts import ArtifactRef, ArtifactStore
from tasks.errors import MigakiError
from tasks.settings import StageSettings
from tasks.stages.execute import Outcome, ingredients
from tasks.stages.spec import StageSpec
from tasks.stages.work import Context


def run_on_pool(
    spec: StageSpec, settings: StageSettings, run: RunSettings, inputs: dict[str, ArtifactRef], run_id: str, context: Context
) -> Outcome:
    """The artifact of a stage from a worker of its pool.

    The idempotency key makes a retried parent find the run it started before; a run that failed, or whose artifact is gone, never answers again.

    Raises:
        MigakiError: the run did not complete, or left no artifact here.
    """
    key = ingredients(spec, settings, inputs, context).key
    store = ArtifactStore(context.home)
    if (kept := store.find(spec.kind, key)) is not None:
        return Outcome(kept, reused=True)
    name, deployment = spec.name, spec.command
    context_of_run = FlowRunContext.get()
    if context_of_run is None or context_of_run.flow_run is None:
        raise MigakiError(f"{name} can be handed to a work pool by a flow run of Prefect alone, and this is none: set run.where=local")
    parent = context_of_run.flow_run.id
    attempt = 1
    while _has_ended(f"{key}:{parent}:{attempt}"):  # without the artifact, or it would have been there
        attempt += 1
    parameters = {
        deployment: settings.model_dump(mode="json"),
        "run": run.model_copy(update={"profile_applied": True}).model_dump(mode="json"),
        "parent_run": run_id,
        "inputs": {role: ref.id for role, ref in inputs.items()},
    } | dict(spec.part)
    started = run_deployment(
        f"{deployment}/{deployment}", parameters=parameters, as_subflow=True, idempotency_key=f"{key}:{parent}:{attempt}", timeout=None
    )
    flow_run = cast(FlowRun, started)  # a coroutine only inside an event loop, and this is none
    state = flow_run.state
    if state is None or not state.is_completed():
        how, message = (state.name, state.message) if state else ("not started", None)
        raise MigakiError(f"{name} ended as {how} on its work pool: {message or 'no message'} (flow run {flow_run.name!r})")
    if (made := store.find(spec.kind, key)) is None:
        raise MigakiError(
            f"{name} completed on its work pool (flow run {flow_run.name!r}), but its artifact is not in this MIGAKI_HOME: "
            "the pool's job variables must give all workers the same shared folder, and the same version of Migaki"
        )
    return Outcome(made, reused=False)


def _has_ended(idempotency_key: str) -> bool:
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[idempotency_key])))
    return any(run.state and run.state.is_final() for run in runs)
