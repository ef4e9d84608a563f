"""What a stage's body works with: its folder, its models, its inputs, and where it puts figures."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.checkpoints import Checkpoint
from storage.home import Home
from storage.kinds import Adapter, Dataset, Headline, Model, Record
from storage.rows import check_rows
from tasks.errors import MigakiError
from tasks.progress import Bar, Emit, Watch, terminal, unwatched
from tasks.stages.spec import StageSpec

if TYPE_CHECKING:  # how a model was found is in no key: what it holds is
    from tasks.models.reference import ResolvedModel

R = TypeVar("R", bound=Record)
T = TypeVar("T")
SECOND = "embedder_"  # begins the role of an embedder for one language, which ends it


def unseen(name: str, of: str, piece: Callable[[], Any]) -> Any:
    """A piece of a stage's work where nobody watches its pieces."""
    return piece()


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
    embedder_en: str = ""
    names: bool = True  # whether the log may name documents: Prefect's page is read by people who may not see all of them
    step: Callable[[str, str, Callable[[], Any]], Any] = unseen  # (name, which of several, piece): runs a piece of the work, and shows it
    watch: Watch = unwatched


class Work:
    """A body's work in one folder, which becomes the artifact. Its name begins with the artifact's id, up to ".tmp-"."""

    def __init__(self, spec: StageSpec, path: Path, context: Context, models: "dict[str, ResolvedModel]", keeps: bool = True):
        """`keeps` is off in all but one of the processes that share a stage: checkpoints (`tasks.stages.resuming`) are that one's."""
        self.spec, self.keeps = spec, keeps
        self.path, self.home, self.device = path, context.home, context.device
        self.log, self.emit, self.names = context.log, context.emit, context.names
        self.watch, self._step = context.watch, context.step
        self._models, self._store = models, ArtifactStore(context.home)
        self.id = path.name.partition(".tmp-")[0]
        self.headlines: list[Headline] = []
        self._metrics: list[dict[str, Any]] = []
        self._tables: dict[str, list[pa.Table]] = {}
        self.kept = Checkpoint(context.home, self.id)

    @property
    def model(self) -> "ResolvedModel":
        """The base model of the run."""
        return self._models["model"]

    @property
    def embedder(self) -> "ResolvedModel":
        return self._models["embedder"]

    @property
    def companions(self) -> "dict[str, ResolvedModel]":
        """By language, the embedders that read it better than `embedder`, of those that the run has."""
        return {role.removeprefix(SECOND): model for role, model in self._models.items() if role.startswith(SECOND)}

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Record a figure named `stage.metric[.lang]`."""
        self._metrics.append({"name": name, "step": step, "value": float(value), "ts": datetime.now(UTC).replace(tzinfo=None)})

    def table(self, name: str, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Rows for the catalog table `name`; called again, they are added.

        Raises:
            StorageError: there is no such table, or it has no such column of that type.
        """
        checked = check_rows(name, rows, f"the stage {self.spec.name!r}")
        if checked.num_rows:
            self._tables.setdefault(name, []).append(checked)

    def headline(self, label: str, before: float | str | None, after: float | str | None) -> None:
        """A key figure for the table at the end of the run."""
        self.headlines.append(Headline(label, before, after))

    def progress(self, label: str, total: int, done: int = 0) -> Bar:
        return Bar(label, total, self.emit, done, self.watch)

    def step(self, name: str, piece: Callable[[], T], of: str = "") -> T:
        """What a piece of the work gives, which Prefect's page shows as a task `name`: one `of` several where there are more."""
        made: T = self._step(name, of, piece)
        return made

    def open(self, ref: ArtifactRef) -> Path:
        """The folder of an input artifact."""
        return self._store.path(ref)

    def record(self, ref: ArtifactRef, kind: type[R]) -> R:
        """What an input artifact says of itself."""
        return kind.of(ref.meta, f"the artifact {ref.id[:12]} of kind {ref.kind!r}")

    def artifact(self, artifact_id: str) -> ArtifactRef:
        """An artifact that another one names.

        Raises:
            StorageError: it is gone.
        """
        return self._store.get(artifact_id)

    def adapter(self, artifact_id: str) -> tuple[Path, Adapter]:
        """The folder and the record of an adapter in a chain."""
        ref = self.artifact(artifact_id)
        return self.open(ref), self.record(ref, Adapter)

    def trained(self, ref: ArtifactRef | None) -> tuple[Path, Adapter | Model] | None:
        """The folder and the record of what an `adapter` or `model` artifact trained; None for none, which stands for the base model."""
        if ref is None:
            return None
        record: Adapter | Model = self.record(ref, Model) if ref.kind == "model" else self.record(ref, Adapter)
        return self.open(ref), record

    def today(self, inputs: dict[str, ArtifactRef]) -> str:
        """The day that chat templates are told with the dataset among the inputs; "" where there is none."""
        return self.record(inputs["dataset"], Dataset).today if "dataset" in inputs else ""

    def figures(self) -> dict[str, Any]:
        """All that was recorded so far, in plain values."""
        return {
            "metrics": [row | {"ts": row["ts"].isoformat()} for row in self._metrics],
            "tables": {name: [row for part in parts for row in part.to_pylist()] for name, parts in self._tables.items()},
            "headlines": [asdict(line) for line in self.headlines],
        }

    def take_figures(self, figures: dict[str, Any]) -> None:
        """Record what `figures` of another work gave."""
        self._metrics = [row | {"ts": datetime.fromisoformat(row["ts"])} for row in figures["metrics"]]
        for name, rows in figures["tables"].items():
            self.table(name, rows)
        self.headlines = [Headline(**line) for line in figures["headlines"]]

    def write_tables(self) -> None:
        folder = self.path / "tables"
        folder.mkdir()
        if self._metrics:
            pq.write_table(pa.Table.from_pylist(self._metrics), folder / "metrics.parquet")
        for name, parts in self._tables.items():
            pq.write_table(pa.concat_tables(parts, promote_options="permissive"), folder / f"{name}.parquet")


def require(inputs: dict[str, ArtifactRef], role: str, command: str) -> ArtifactRef:
    """The input of that role.

    Raises:
        MigakiError: it is missing; names the command that makes it.
    """
    if role not in inputs:
        raise MigakiError(f"this stage needs a {role!r} artifact and there is none: run `migaki {command}` first")
    return inputs[role]
