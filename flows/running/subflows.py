"""A stage of a run as a flow run of its own on Prefect's page, and pieces of a stage's body as task runs."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from prefect import flow, get_client, runtime, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Completed, State

from flows.running.names import run_name, tags_of
from flows.running.parameters import RunSettings
from flows.running.plan import nothing_differs
from storage.artifacts import ArtifactRef
from tasks.settings import StageSettings
from tasks.stages.execute import Outcome
from tasks.stages.spec import StageSpec

T = TypeVar("T")


def as_subflow(spec: StageSpec, settings: StageSettings, run: RunSettings, work: Callable[[], Outcome]) -> Outcome:
    """What `work` gives, with a flow run in this process that stands for the stage; it ends as Cached, with the reason, where the artifact was there.

    Raises what `work` raises; the flow run is Failed then.
    """
    done: list[Outcome] = []

    def stage(settings: dict[str, Any]) -> State[None]:
        done.append(outcome := work())
        if outcome.reused:
            return Completed(name="Cached", message=nothing_differs(outcome.ref))
        return Completed(message=f"{outcome.ref.kind} {outcome.ref.id[:12]}")

    name = run_name(spec.name, run)
    own = flow(name=spec.name, flow_run_name=lambda: name, description=spec.help, persist_result=False, validate_parameters=False)(stage)
    # Its process is its parent's, which tells that it lives; a heartbeat of its own takes up to a second to end.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), tags(*tags_of(spec.name, run, spec.pool)):
        own(settings.model_dump(mode="json"))
    return done[0]


def as_task(name: str, of: str, piece: Callable[[], T]) -> T:
    """What `piece` gives, with a task run that stands for it: one `of` several of that name."""
    # What Prefect is given stays in memory until the flow run ends: neither the piece nor what it gives, which may be a model.
    pieces, made = [piece], list[T]()

    def run_piece() -> None:
        made.append(pieces.pop()())

    run_name = f"{name} {of}".strip()
    task(name=name, task_run_name=lambda: run_name, persist_result=False, cache_policy=NO_CACHE)(run_piece)()
    return made.pop()


def show_cached(spec: StageSpec, ref: ArtifactRef) -> None:
    """A task run that is Cached: for a stage that somebody started by itself, and whose artifact was there."""

    def stage() -> State[None]:
        return Completed(name="Cached", message=nothing_differs(ref))

    task(name=spec.name, task_run_name=spec.name, persist_result=False, cache_policy=NO_CACHE)(stage)()


def tag_this_run(what: str, run: RunSettings, pool: str = "cpu") -> None:
    """Give the flow run that runs the tags of what it runs (`tags_of`): nobody else did where somebody started it by itself."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(runtime.flow_run.id), tags=sorted({*runtime.flow_run.tags, *tags_of(what, run, pool)}))
