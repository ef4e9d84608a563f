"""Hands a stage to its work pool, and waits for it."""

from prefect import get_client
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
    parent = FlowRunContext.get().flow_run.id
    attempt = 1
    while _has_ended(f"{key}:{parent}:{attempt}"):  # without the artifact, or it would have been there
        attempt += 1
    parameters = {
        deployment: settings.model_dump(mode="json"),
        "run": run.model_copy(update={"profile_applied": True}).model_dump(mode="json"),
        "parent_run": run_id,
        "inputs": {role: ref.id for role, ref in inputs.items()},
    } | dict(spec.part)
    flow_run = run_deployment(
        f"{deployment}/{deployment}", parameters=parameters, as_subflow=True, idempotency_key=f"{key}:{parent}:{attempt}", timeout=None
    )
    if not flow_run.state.is_completed():
        raise MigakiError(
            f"{name} ended as {flow_run.state.name} on its work pool: {flow_run.state.message or 'no message'} (flow run {flow_run.name!r})"
        )
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
