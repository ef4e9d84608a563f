"""Run a stage here, or hand it to the cpu or gpu work pool. One setting decides, `run.where`; the environment never does."""

import importlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import get_client, get_run_logger
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import TerminationSignal

from flows.running.devices import device
from flows.running.local import interruption
from flows.running.parameters import RunSettings
from storage.artifacts import ArtifactRef, ArtifactStore, read_manifest
from storage.home import Home
from storage.registry import begin_run, end_run, newest_artifact, register
from tasks.errors import MigakiError
from tasks.progress import logged, terminal
from tasks.settings import StageSettings
from tasks.stages.stage import Context, execute, key_of

# The module that registers each stage's body.
BODIES = {
    "prepare": "tasks.data.task",
    "pretrain": "tasks.training.task",
    "tune": "tasks.training.task",
    "reward": "tasks.rlhf.task",
    "align": "tasks.rlhf.task",
    "quantize": "tasks.quantization.task",
    "index": "tasks.rag.task",
    "evaluate": "tasks.evaluation.task",
    "safety": "tasks.chatbot.safety.task",
}
# The deployment that runs a stage on the gpu pool, and which part of its flow. Stages not named here run inside the parent.
REMOTE = {
    "pretrain": ("pretrain", {}),
    "tune": ("tune", {}),
    "reward": ("align", {"part": "reward"}),
    "align": ("align", {"part": "policy"}),
    "quantize": ("quantize", {}),
    "evaluate": ("evaluate", {}),
}
# What a stage run by itself takes: the newest artifact of these stages, and the ancestors of the first one.
NEWEST = {
    "prepare": {},
    "pretrain": {"dataset": "prepare"},
    "tune": {"dataset": "prepare"},
    "reward": {"dataset": "prepare", "tuned": "tune"},
    "align": {"reward": "reward"},
    "quantize": {"aligned": "align"},
    "index": {"dataset": "prepare"},
    "evaluate": {"release": "quantize", "index": "index"},
    "promote": {"evaluation": "evaluate"},
    "safety": {},
}
COMMAND = {"reward": "align"}  # stages without a command of their own


class Recorder:
    """A run in the catalog: the stages that ran under it and what they made."""

    def __init__(self, home: Home, run: RunSettings, run_id: str):
        self.home, self.run, self.run_id = home, run, run_id
        self.artifacts: dict[str, ArtifactRef] = {}
        self.reused: dict[str, bool] = {}

    def note(self, name: str, ref: ArtifactRef, reused: bool) -> None:
        register(self.home, ref)
        self.artifacts[name], self.reused[name] = ref, reused

    def stage(self, name: str, settings: StageSettings, inputs: dict[str, ArtifactRef]) -> ArtifactRef:
        """The artifact of a stage, from its flow in this process or on its work pool, entered into the catalog.

        Raises:
            MigakiError, StorageError: what the user can mend.
        """
        settings = self.run.applied_to(settings)
        with recorded(name, self.run, settings.model_dump(mode="json"), parent=self.run_id) as own:
            if self.run.where == "prefect" and name in REMOTE:
                ref, reused = run_on_pool(name, settings, self.run, inputs, own.run_id)
            else:
                ref, reused = run_here(name, settings, self.run, inputs, own.run_id)
            own.note(name, ref, reused)
        self.note(name, ref, reused)
        return ref


@contextmanager
def recorded(flow: str, run: RunSettings, settings: dict[str, Any], parent: str | None = None) -> Iterator[Recorder]:
    """Keep a row in `runs` from the first moment to the last, whatever ends the run."""
    home, run_id = Home.current(), str(uuid.uuid4())
    begin_run(home, run_id, flow, parent=parent, profile=run.profile, settings=settings)
    recorder = Recorder(home, run, run_id)
    try:
        yield recorder
    except BaseException as error:
        cancelled = interruption.is_set() or isinstance(error, KeyboardInterrupt | SystemExit | TerminationSignal)
        end_run(home, run_id, "cancelled" if cancelled else "failed", error=f"{type(error).__name__}: {error}"[:2000])
        raise
    own = flow in recorder.artifacts  # a stage, not a chain of stages
    end_run(home, run_id, "reused" if own and recorder.reused[flow] else "completed", ref=recorder.artifacts.get(flow))


def context_for(run: RunSettings) -> Context:
    """What stage bodies need of a run: this process's home, the models, and where progress goes."""
    if run.where == "prefect":
        write = get_run_logger().info
        emit = logged(write)
    else:
        write, emit = print_line, terminal()
    return Context(Home.current(), run.model, run.embedder, device(run.device), emit, write, run.accelerate)


def print_line(text: str) -> None:
    terminal()(f"  {text}", True)


def run_here(name: str, settings: StageSettings, run: RunSettings, inputs: dict[str, ArtifactRef], run_id: str) -> tuple[ArtifactRef, bool]:
    """The artifact of a stage and whether it was there already, worked out in this process."""
    importlib.import_module(BODIES[name])
    context = context_for(run)
    if run.where == "local":
        print_line(f"{name}")
    outcome = execute(name, settings, inputs, context, run_id)
    return outcome.ref, outcome.reused


def stage_flow(name: str, settings: StageSettings, run: RunSettings, inputs: dict[str, str], parent_run: str) -> str:
    """The body of every stage's flow: give the artifact's id.

    Under a parent (which keeps the catalog) only objects are written; run by itself, the stage is recorded and registered here.
    """
    store, settings = ArtifactStore(Home.current()), run.applied_to(settings)
    refs = {role: store.get(artifact_id) for role, artifact_id in inputs.items()} or newest_inputs(name)
    if parent_run:
        return run_here(name, settings, run, refs, parent_run)[0].id
    with recorded(name, run, settings.model_dump(mode="json")) as own:
        own.note(name, *run_here(name, settings, run, refs, own.run_id))
    return own.artifacts[name].id


def newest_inputs(name: str) -> dict[str, ArtifactRef]:
    """Inputs for a stage that somebody runs by itself: the newest artifacts, and everything those were made from.

    Raises:
        MigakiError: one is missing; names the command that makes it.
    """
    home = Home.current()
    store, found = ArtifactStore(home), {}
    for role, stage in NEWEST[name].items():
        newest = newest_artifact(home, stage=stage)
        if newest is None:
            raise MigakiError(f"{name} needs what {stage} makes, and there is nothing yet: run `migaki {COMMAND.get(stage, stage)}` first")
        found |= ancestors(store, role, newest.artifact_id, found)
    return found


def ancestors(store: ArtifactStore, role: str, artifact_id: str, known: dict[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """An artifact under its role with all it was made from, by role; what is known already stays."""
    ref = store.get(artifact_id)
    found = known | {role: known.get(role, ref)}
    manifest = read_manifest(store.path(ref)) or {"inputs": {}}
    for parent_role, parent_id in manifest["inputs"].items():
        found = ancestors(store, parent_role, parent_id, found) if parent_role not in found else found
    return found


def run_on_pool(
    name: str, settings: StageSettings, run: RunSettings, inputs: dict[str, ArtifactRef], run_id: str
) -> tuple[ArtifactRef, bool]:
    """The artifact of a stage from a worker of the gpu pool, and whether it was there already.

    The idempotency key makes a retried parent find the run it started before; a run that failed, or whose artifact is gone, never answers again.

    Raises:
        MigakiError: the run did not complete, or left no artifact here.
    """
    importlib.import_module(BODIES[name])
    stage, key = key_of(name, settings, inputs, context_for(run))
    store = ArtifactStore(Home.current())
    if (found := store.find(stage.kind, key)) is not None:
        return found, True
    deployment, part = REMOTE[name]
    run = run.model_copy(update={"profile_applied": True})
    parent = FlowRunContext.get().flow_run.id
    attempt = 1
    while _has_ended(f"{key}:{parent}:{attempt}"):  # without the artifact, or it would have been found above
        attempt += 1
    parameters = {
        deployment: settings.model_dump(mode="json"),
        "run": run.model_dump(mode="json"),
        "parent_run": run_id,
        "inputs": {role: ref.id for role, ref in inputs.items()},
    } | part
    flow_run = run_deployment(
        f"{deployment}/{deployment}", parameters=parameters, as_subflow=True, idempotency_key=f"{key}:{parent}:{attempt}", timeout=None
    )
    if not flow_run.state.is_completed():
        raise MigakiError(
            f"{name} ended as {flow_run.state.name} on its work pool: {flow_run.state.message or 'no message'} (flow run {flow_run.name!r})"
        )
    if (found := store.find(stage.kind, key)) is None:
        raise MigakiError(
            f"{name} completed on its work pool (flow run {flow_run.name!r}), but its artifact is not in this MIGAKI_HOME: "
            "the pool's job variables must give all workers the same shared folder, and the same version of Migaki"
        )
    return found, False


def _has_ended(idempotency_key: str) -> bool:
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[idempotency_key])))
    return any(run.state and run.state.is_final() for run in runs)
