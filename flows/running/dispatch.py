"""Run a stage here, or hand it to its work pool: always where the run is a deployment's, and of a command as `run.where` says."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from prefect import get_run_logger
from prefect.exceptions import TerminationSignal

from flows.catalogue.stages import STAGES
from flows.running.devices import device
from flows.running.events import tell_of_policy
from flows.running.inputs import inputs_from, newest_inputs
from flows.running.local import interruption
from flows.running.parameters import RunSettings
from flows.running.plan import nothing_differs, reason
from flows.running.pools import run_on_pool
from flows.running.progress import ProgressArtifacts
from flows.running.roots import hold, on_platform
from flows.running.secret import hide_secret
from flows.running.shown import show_study
from flows.running.subflows import as_subflow, as_task, show_cached, tag_this_run
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.kinds import Studied
from storage.registry import begin_run, end_run, register
from tasks.errors import MigakiError
from tasks.models.reference import resolve
from tasks.progress import logged, terminal
from tasks.settings import StageSettings
from tasks.stages.execute import Outcome, execute
from tasks.stages.keys import Ingredients
from tasks.stages.spec import StageSpec
from tasks.stages.work import Context
from tasks.training.settings import TuneSettings


class Recorder:
    """A run in the catalog: the stages that ran under it and what they made."""

    def __init__(self, home: Home, run: RunSettings, run_id: str):
        self.home, self.run, self.run_id = home, run, run_id
        self.artifacts: dict[str, ArtifactRef] = {}
        self.reused: dict[str, bool] = {}

    def note(self, name: str, outcome: Outcome) -> None:
        """Enter what a stage gave into the catalog, and take it."""
        register(self.home, outcome.ref)
        if not outcome.reused:
            tell_of_policy(self.home, outcome.ref)
        self.take(name, outcome)

    def take(self, name: str, outcome: Outcome) -> None:
        self.artifacts[name], self.reused[name] = outcome.ref, outcome.reused

    def stage(self, name: str, settings: StageSettings, others: dict[str, ArtifactRef] | None = None) -> ArtifactRef:
        """The artifact of a stage, made of what this run has made before, from its flow in this process or on its work pool, and entered into the catalog.

        Args:
            others: inputs by role that no stage of this run makes.

        Raises:
            MigakiError, StorageError: what the user can mend.
        """
        spec, settings = STAGES[name], self.run.applied_to(settings)
        if on_platform(self.run):
            log_of(self.run)(f"{name} begins")
        inputs = inputs_from(spec, self.artifacts) | (others or {})
        with recorded(name, self.run, settings.model_dump(mode="json"), parent=self.run_id) as own:
            if not on_platform(self.run):
                outcome = run_here(spec, settings, self.run, inputs, own.run_id)
            elif spec.pool == "cpu":
                outcome = as_subflow(spec, settings, self.run, lambda: run_here(spec, settings, self.run, inputs, own.run_id))
            elif (outcome := run_on_pool(spec, settings, self.run, inputs, own.run_id, context_for(self.run))).reused:
                as_subflow(spec, settings, self.run, lambda: outcome)
            own.note(name, outcome)
        self.take(name, outcome)
        return outcome.ref


@contextmanager
def recorded(flow: str, run: RunSettings, settings: dict[str, Any], parent: str | None = None) -> Iterator[Recorder]:
    """Keep a row in `runs` from the first moment to the last, whatever ends the run."""
    hide_secret()
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
    home, base, embedder, on, write = Home.current(), run.model, run.embedder, device(run.device), log_of(run)
    if not on_platform(run):
        return Context(home, base, embedder, on, terminal(), write, run.accelerate, run.second_embedder)
    return Context(home, base, embedder, on, logged(write), write, run.accelerate, run.second_embedder, False, as_task, ProgressArtifacts())


def require_models(run: RunSettings) -> None:
    """Nothing, where the models that a run names are there or have been fetched: told here before hours of stages that need none of them.

    Raises:
        MigakiError: one cannot be had; names its setting.
    """
    for role in ("model", "embedder", "embedder_en"):
        if reference := run.model_in(role):
            try:
                resolve(reference, Home.current(), log_of(run))
            except MigakiError as error:
                raise MigakiError(f"run.{role}: {error}") from error


def require_trainable(run: RunSettings, tune: TuneSettings) -> None:
    """Nothing, where the run's model can be tuned with these settings: told here before hours of stages that need no model.

    Raises:
        MigakiError: its family is not supported, or cannot have this method or these targets.
    """
    home, settings = Home.current(), cast(TuneSettings, run.applied_to(tune))
    said = {"stage": "tune", "model": run.model, "settings": settings.model_dump(mode="json")}
    if any(all(manifest.get(name) == value for name, value in said.items()) for manifest in ArtifactStore(home).manifests()):
        return  # it has been tuned so: most runs of every week, which need not wait for torch
    from tasks.training import inspection

    inspection.require_trainable(resolve(run.model, home, log_of(run)).path, settings)


def log_of(run: RunSettings) -> Callable[[str], None]:
    """Where a run says things: the terminal, or Prefect's log."""
    return print_line if not on_platform(run) else get_run_logger().info


def print_line(text: str) -> None:
    terminal()(f"  {text}", True)


def run_here(spec: StageSpec, settings: StageSettings, run: RunSettings, inputs: dict[str, ArtifactRef], run_id: str) -> Outcome:
    """The artifact of a stage, worked out in this process."""
    context = context_for(run)
    if not on_platform(run):
        print_line(spec.name)
    outcome = execute(spec, settings, inputs, context, run_id, lambda made_of: _say_why(spec, made_of, context))
    if on_platform(run) and outcome.reused:
        context.log(f"{spec.name} is reused: {nothing_differs(outcome.ref)}")
    return outcome


def _say_why(spec: StageSpec, made_of: Ingredients, context: Context) -> None:
    """Log what differs from the stage's newest artifact; nothing before the first."""
    earlier = [manifest for manifest in ArtifactStore(context.home).manifests() if manifest["stage"] == spec.name]
    if earlier:
        references = {role: getattr(context, role) for role in spec.models}
        context.log(f"{spec.name} is made anew: {reason(spec, made_of, earlier[-1], references, context.names)}")


def stage_flow(
    name: str,
    settings: StageSettings,
    run: RunSettings,
    inputs: dict[str, str],
    parent_run: str,
    complete: Callable[[Home, dict[str, ArtifactRef]], dict[str, ArtifactRef]] = lambda home, newest: newest,
) -> str:
    """The body of every stage's flow: give the artifact's id.

    Args:
        complete: makes of the newest artifacts, which are taken where no inputs are named, what the stage takes.

    Under a parent (which keeps the catalog) only objects are written; run by itself, the stage is recorded and registered here.
    """
    home, spec, settings = Home.current(), STAGES[name], run.applied_to(settings)
    hold(run, {spec.command: settings})
    hide_secret()
    store = ArtifactStore(home)
    refs = {role: store.get(artifact_id) for role, artifact_id in inputs.items()} or complete(home, newest_inputs(home, spec, settings))
    if parent_run:
        return run_here(spec, settings, run, refs, parent_run).ref.id
    if on_platform(run):
        tag_this_run(name, run, spec.pool)
    with recorded(name, run, settings.model_dump(mode="json")) as own:
        own.note(name, run_here(spec, settings, run, refs, own.run_id))
    if on_platform(run) and own.reused[name]:
        show_cached(spec, own.artifacts[name])
    if on_platform(run) and spec.kind == Studied.KIND:
        show_study(home, own.artifacts[name], log_of(run))
    return own.artifacts[name].id
