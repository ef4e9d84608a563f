"""The machinery around a stage's body: its key, its cache, its artifact and its Prefect task.

A body is `(settings, inputs, work) -> None` and writes files into `work.path`. `@stage` registers it; `execute` looks the artifact up
by its key and runs the body, as a Prefect task, only when it is not there. The content store is the one cache.
"""

import ctypes.util
import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.artifacts import ArtifactRef, ArtifactStore, Kind, content_key
from storage.checkpoints import Checkpoint
from storage.home import Home
from tasks.errors import MigakiError
from tasks.models.reference import ResolvedModel, resolve
from tasks.progress import Bar, Emit, terminal
from tasks.settings import StageSettings
from tasks.stages.code import code_hash

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Body = Callable[[Any, dict[str, ArtifactRef], "Work"], None]


@dataclass(frozen=True)
class Stage:
    """A registered stage: what `@stage` was told, and the module whose code decides its key."""

    name: str
    kind: Kind
    settings: type[StageSettings]
    uses: tuple[str, ...]  # which resolved models take part in the key: "model", "embedder"
    fingerprint: Callable[[Any], dict[str, Any]] | None
    body: Body
    module: str
    parallel: bool  # whether its body can run in several processes at once


@dataclass
class Context:
    """What a run brings that is not part of any key, but for the model references."""

    home: Home
    model: str
    embedder: str
    device: str = "cpu"
    emit: Emit = field(default_factory=terminal)
    log: Callable[[str], None] = print
    accelerate: str = ""  # configuration file: training stages then run in its processes


STAGES: dict[str, Stage] = {}


def stage(
    name: str,
    *,
    kind: Kind,
    settings: type[StageSettings],
    uses: tuple[str, ...] = ("model",),
    fingerprint: Callable[[Any], dict[str, Any]] | None = None,
    parallel: bool = False,
) -> Callable[[Body], Body]:
    """Register a stage body.

    Args:
        uses: the models that take part, of "model" and "embedder"; their checksums enter the key.
        fingerprint: what the files that the settings name hold (SHA-256 by name), any JSON value; it enters the key in place of their paths.
        parallel: whether the body can run in several processes at once, data parallel.
    """

    def register(body: Body) -> Body:
        STAGES[name] = Stage(name, kind, settings, uses, fingerprint, body, body.__module__, parallel)
        return body

    return register


class Work:
    """What a body works with: its folder, its models, and where to put figures."""

    def __init__(
        self,
        stage: Stage,
        path: Path,
        inputs: dict[str, ArtifactRef],
        context: Context,
        models: dict[str, ResolvedModel],
        keeps: bool = True,
    ):
        """`keeps` is off in all but one of the processes that share a stage: checkpoints are that one's."""
        self.stage, self._keeps = stage, keeps
        self.path, self.home, self.device, self.log = path, context.home, context.device, context.log
        self.model, self.embedder = models.get("model"), models.get("embedder")
        self.meta: dict[str, Any] = {}
        self.headlines: list[dict[str, Any]] = []
        self.emit, self._metrics, self._tables = context.emit, [], {}
        self._checkpoint = Checkpoint(context.home, path.name.partition(".tmp-")[0])

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Record a figure named `stage.metric[.lang]`."""
        self._metrics.append({"name": name, "step": step, "value": float(value), "ts": datetime.now(UTC).replace(tzinfo=None)})

    def table(self, name: str, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Rows for the catalog table `name`; called again, they are added."""
        if not isinstance(rows, pa.Table):
            if not rows:
                return
            names = dict.fromkeys(key for row in rows for key in row)
            rows = pa.table({key: [_cell(row.get(key)) for row in rows] for key in names})
        self._tables.setdefault(name, []).append(rows)

    def headline(self, label: str, before: float | str | None, after: float | str | None) -> None:
        """A key figure for the table at the end of the run."""
        self.headlines.append({"label": label, "before": before, "after": after})

    def progress(self, label: str, total: int, done: int = 0) -> Bar:
        return Bar(label, total, self.emit, done)

    def checkpoint(self, state: Any) -> None:
        """Keep what a run of this very stage needs to go on after it was killed: tensors and plain values, and the figures recorded so far.

        The next call replaces it; it goes when the artifact is there.
        """
        import torch

        if self._keeps:
            with self._checkpoint.replacing() as path:
                torch.save({"state": state, "figures": self.figures()}, path)

    def resumed(self) -> Any | None:
        """The state that a killed run of this very stage left, its figures taken over; None when there is none, or it cannot be read."""
        import torch

        if not self._checkpoint.path.exists():
            return None
        try:
            kept = torch.load(self._checkpoint.path, map_location=self.device, weights_only=True)
        except Exception as error:  # whatever a damaged file makes of the unpickler
            self.log(f"the checkpoint {self._checkpoint.path.name[:12]} cannot be read ({type(error).__name__}): the stage starts anew")
            return None
        self.take_figures(kept["figures"])
        return kept["state"]

    def figures(self) -> dict[str, Any]:
        """All that was recorded so far, in plain values."""
        return {
            "metrics": [row | {"ts": row["ts"].isoformat()} for row in self._metrics],
            "tables": {name: [row for part in parts for row in part.to_pylist()] for name, parts in self._tables.items()},
            "meta": self.meta,
            "headlines": self.headlines,
        }

    def take_figures(self, figures: dict[str, Any]) -> None:
        """Record what `figures` of another work gave."""
        self._metrics = [row | {"ts": datetime.fromisoformat(row["ts"])} for row in figures["metrics"]]
        for name, rows in figures["tables"].items():
            self.table(name, rows)
        self.meta |= figures["meta"]
        self.headlines = [*figures["headlines"]]

    def open(self, ref: ArtifactRef) -> Path:
        """The folder of an input artifact."""
        return ArtifactStore(self.home).path(ref)

    def load(self, ref: ArtifactRef | None = None, trunk: str = "float32") -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        """The base model (None), or the model that an `adapter` or `model` artifact stands for, with its tokenizer.

        In float32 adapters are merged; on a frozen "bfloat16" or "nf4" trunk they stay beside the weights.
        """
        from tasks.models.loader import load_merged, load_tokenizer

        start, adapters = self.parts(ref)
        if trunk == "float32":
            return load_merged(start, adapters, device=self.device), load_tokenizer(start)
        from tasks.models.unmerged import load_unmerged

        return load_unmerged(start, adapters, trunk, self.device), load_tokenizer(start)

    def parts(self, ref: ArtifactRef | None) -> tuple[Path, list[Path]]:
        """The model folder that an artifact starts from, and the folders of the adapters on it, first to last."""
        if ref is not None and ref.meta.get("model"):
            return self.open(ref) / ref.meta["model"], []
        store = ArtifactStore(self.home)
        chain = [store.get(adapter) for adapter in (ref.meta["adapters"] if ref else [])]
        start = self.model.path
        if chain and chain[0].meta.get("model"):  # full fine-tuning or pre-training replaced the base
            start, chain = store.path(chain[0]) / chain[0].meta["model"], chain[1:]
        return start, [store.path(part) / "adapter" for part in chain]

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The base model's tokenizer."""
        from tasks.models.loader import load_tokenizer

        return load_tokenizer(self.model.path)

    def context_length(self) -> int | None:
        """Tokens that the base model can take in at once, where its configuration says so."""
        config = json.loads((self.model.path / "config.json").read_text(encoding="utf-8"))
        return config.get("max_position_embeddings") or config.get("n_positions")

    def write_tables(self) -> None:
        folder = self.path / "tables"
        folder.mkdir()
        if self._metrics:
            pq.write_table(pa.Table.from_pylist(self._metrics), folder / "metrics.parquet")
        for name, parts in self._tables.items():
            pq.write_table(pa.concat_tables(parts, promote_options="permissive"), folder / f"{name}.parquet")


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def stage_key(stage: Stage, settings: StageSettings, inputs: dict[str, ArtifactRef], models: dict[str, ResolvedModel]) -> str:
    """SHA-256 over everything that decides what the stage computes; device, home, paths of models and logging do not."""
    return content_key(
        {
            "stage": stage.name,
            "code": code_hash(stage.module),
            "settings": settings.model_dump(mode="json", exclude=settings.PATHS),
            "inputs": {role: ref.id for role, ref in inputs.items()},
            "models": {role: model.checksum for role, model in models.items()},
            "files": stage.fingerprint(settings) if stage.fingerprint else {},
        }
    )


@dataclass(frozen=True)
class Outcome:
    """The artifact of a stage, and whether it was there already."""

    ref: ArtifactRef
    reused: bool


def own_settings(stage: Stage, settings: StageSettings) -> StageSettings:
    """The part of `settings` that is this stage's: align has one model for its two bodies, and each is keyed by its own fields alone."""
    if type(settings) is stage.settings:
        return settings
    return stage.settings.model_validate({name: getattr(settings, name) for name in stage.settings.model_fields})


def key_of(name: str, settings: StageSettings, inputs: dict[str, ArtifactRef], context: Context) -> tuple[Stage, str]:
    """A stage by its name, and the key of what it would make."""
    stage = STAGES[name]
    return stage, stage_key(stage, own_settings(stage, settings), inputs, models_of(stage, context))


def models_of(stage: Stage, context: Context) -> dict[str, ResolvedModel]:
    return {role: resolve(getattr(context, role), context.home, context.log) for role in stage.uses}


def execute(name: str, settings: StageSettings, inputs: dict[str, ArtifactRef], context: Context, run_id: str) -> Outcome:
    """Give the artifact of a stage: the one that is there, or a new one.

    Raises:
        MigakiError, StorageError: what the user can mend; nothing of the artifact remains.
    """
    stage, key = key_of(name, settings, inputs, context)
    if (found := ArtifactStore(context.home).find(stage.kind, key)) is not None:
        return Outcome(found, reused=True)
    body = task(name=name, task_run_name=name, persist_result=False, cache_policy=NO_CACHE)(_run_body)
    return Outcome(body(stage, own_settings(stage, settings), inputs, context, key, run_id), reused=False)


def _run_body(
    stage: Stage, settings: StageSettings, inputs: dict[str, ArtifactRef], context: Context, key: str, run_id: str
) -> ArtifactRef:
    store, models = ArtifactStore(context.home), models_of(stage, context)
    started = time.perf_counter()
    with store.draft(stage.kind, key) as path:
        work = Work(stage, path, inputs, context, models)
        if context.accelerate and stage.parallel:
            from tasks.stages.distributed import run_in_processes

            run_in_processes(settings, inputs, work, context)
        else:
            stage.body(settings, inputs, work)
            give_back_memory()
        if "adapters" in work.meta:  # the body cannot know its own id
            work.meta["adapters"] = [*work.meta["adapters"], key]
        work.meta["headlines"] = work.headlines
        work.write_tables()
        made = store.commit(
            path,
            {
                "stage": stage.name,
                "run_id": run_id,
                "settings": settings.model_dump(mode="json"),
                "inputs": {role: ref.id for role, ref in inputs.items()},
                "model": context.model if "model" in stage.uses else None,
                "embedder": context.embedder if "embedder" in stage.uses else None,
                "meta": work.meta,
                "seconds": time.perf_counter() - started,
                "created": datetime.now(UTC).replace(tzinfo=None).isoformat(),
            },
        )
        Checkpoint(context.home, key).drop()
        return made


def give_back_memory() -> None:
    """Free what a body left behind and hand it to the system: the next stage loads a model of its own in the same process."""
    gc.collect()
    libc = ctypes.util.find_library("c")
    if libc and hasattr(trim := ctypes.CDLL(libc), "malloc_trim"):  # glibc keeps freed memory otherwise
        trim.malloc_trim(0)


def require(inputs: dict[str, ArtifactRef], role: str, command: str) -> ArtifactRef:
    """The input of that role.

    Raises:
        MigakiError: it is missing; names the command that makes it.
    """
    if role not in inputs:
        raise MigakiError(f"this stage needs a {role!r} artifact and there is none: run `migaki {command}` first")
    return inputs[role]
