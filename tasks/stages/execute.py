"""Runs a body where its artifact is not there yet: as a Prefect task, in this process or in several.

A body is `(settings, inputs, work) -> record` and writes files into `work.path`. The content store is the one cache.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.checkpoints import Checkpoint
from storage.kinds import RECORDS, Record
from tasks.errors import MigakiError
from tasks.models.reference import ResolvedModel, resolve
from tasks.processes import give_back_memory
from tasks.settings import StageSettings
from tasks.stages.keys import Ingredients
from tasks.stages.spec import StageSpec, function
from tasks.stages.spent import spent
from tasks.stages.work import Context, Work


@dataclass(frozen=True)
class Outcome:
    """The artifact of a stage, and whether it was there already."""

    ref: ArtifactRef
    reused: bool


def models_of(spec: StageSpec, context: Context) -> dict[str, ResolvedModel]:
    """The models that take part, by role; a run need not have a second embedder."""
    return {role: resolve(reference, context.home, context.log) for role in spec.models if (reference := getattr(context, role))}


def ingredients(spec: StageSpec, settings: StageSettings, inputs: dict[str, ArtifactRef], context: Context) -> Ingredients:
    """What the key of a stage's artifact is made of."""
    return Ingredients.of(spec, spec.counting(settings), inputs, models_of(spec, context))


def execute(
    spec: StageSpec,
    settings: StageSettings,
    inputs: dict[str, ArtifactRef],
    context: Context,
    run_id: str,
    on_new: Callable[[Ingredients], object] = lambda made_of: None,
) -> Outcome:
    """Give the artifact of a stage: the one that is there, or a new one, of which `on_new` hears before it is made.

    Raises:
        MigakiError, StorageError: what the user can mend; nothing of the artifact remains.
    """
    made_of = ingredients(spec, settings, inputs, context)
    if (kept := ArtifactStore(context.home).find(spec.kind, made_of.key)) is not None:
        return Outcome(kept, reused=True)
    on_new(made_of)
    from prefect import task  # not above: processes that share a stage import this module and know no Prefect
    from prefect.cache_policies import NO_CACHE

    body = task(name=spec.name, task_run_name=spec.name, persist_result=False, cache_policy=NO_CACHE)(_make)
    return Outcome(body(spec, spec.counting(settings), inputs, context, made_of, run_id), reused=False)


def _make(
    spec: StageSpec, settings: StageSettings, inputs: dict[str, ArtifactRef], context: Context, made_of: Ingredients, run_id: str
) -> ArtifactRef:
    store, started = ArtifactStore(context.home), time.perf_counter()
    with store.draft(spec.kind, made_of.key) as path:
        work = Work(spec, path, context, models_of(spec, context))
        with spent(work):
            record = run_body(spec, settings, inputs, work, context)
        work.write_tables()
        made = store.commit(
            path,
            {
                "stage": spec.name,
                "run_id": run_id,
                "settings": settings.model_dump(mode="json"),
                "inputs": made_of.inputs,
                "model": context.model if "model" in spec.models else None,
                "embedder": context.embedder if "embedder" in spec.models else None,
                "embedder_en": context.embedder_en if "embedder_en" in spec.models else None,
                "meta": record.with_headlines(work.headlines).meta(),
                "made_of": asdict(made_of),
                "seconds": time.perf_counter() - started,
                "created": datetime.now(UTC).replace(tzinfo=None).isoformat(),
            },
        )
        Checkpoint(context.home, made_of.key).drop()
        return made


def run_body(spec: StageSpec, settings: StageSettings, inputs: dict[str, ArtifactRef], work: Work, context: Context) -> Record:
    """What the body makes of its own settings, its figures in `work`.

    Raises:
        MigakiError: it returned no record of the stage's kind.
    """
    if context.accelerate and spec.parallel:
        from tasks.stages.distributed import run_in_processes  # few runs need it, and it loads psutil

        return run_in_processes(spec, settings, inputs, work, context)
    record, wanted = function(spec.body)(settings, inputs, work), RECORDS[spec.kind]
    gc.collect()  # what the body left behind: the next stage loads a model of its own in the same process
    give_back_memory()
    if not isinstance(record, wanted):
        raise MigakiError(
            f"{spec.body} returned {type(record).__name__}; the body of a stage of kind {spec.kind!r} returns {wanted.__name__}"
        )
    return record
