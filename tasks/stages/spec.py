"""How a stage is declared: once, in its folder's `spec.py`, without importing its work.

The table of all of them stands in `flows/catalogue`. What a spec names (`"module:NAME"`) is imported when it is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from storage.kinds import RECORDS, Kind
from tasks.errors import MigakiError
from tasks.settings import StageSettings

Role = str  # what an input is to a stage: "dataset", "tuned", ...


@dataclass(frozen=True)
class FlowSpec:
    """Something that can be run by itself: a flow of this name in `flows/`, a deployment, and a command.

    Attributes:
        settings: the section of the settings that has its name.
        needs: what it takes by role, from the newest artifacts where it is run by itself: stages in the order of preference. Roles stand in
            the order in which they are looked for: what the first ones were made from is taken before something newer.
        spared: roles that it does without where there is nothing yet, as long as the setting named here says something.
        pool: the work pool of its deployment. A stage of the pool `cpu` runs inside the run that wants it, one of `gpu` on its worker.
        in_retrain: whether the flow `retrain` runs it.
    """

    name: str
    help: str
    settings: type[StageSettings]
    needs: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    spared: Mapping[Role, str] = field(default_factory=dict)
    pool: Literal["cpu", "gpu"] = "cpu"
    in_retrain: bool = True


@dataclass(frozen=True)
class StageSpec(FlowSpec):
    """A step whose result is an artifact, made once for each key.

    Attributes:
        kind: of the artifact.
        body: `"module:function"`, called as `function(settings, inputs, work)`, which returns the record of the kind. The code that its module
            reaches is in the key.
        counts: the part of `settings` that the body takes and that is in the key; None is all of it.
        takes: inputs that are used where a run has them, and never looked for. As `needs`.
        models: which models take part, of "model", "embedder" and "embedder_en" (where the run has one); their checksums are in the key.
        fingerprint: `"module:function"` of the settings: what the files hold that they name, as a JSON value; in the key in place of their paths.
        parallel: whether the body can run in several processes at once, data parallel.
        flow: of the flow that runs it where that is another's; `part` are the parameters by which that flow knows it.

    Raises:
        MigakiError: artifacts of the kind have no record.
    """

    kind: Kind = "dataset"
    body: str = ""
    counts: type[StageSettings] | None = None
    takes: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    models: tuple[str, ...] = ("model",)
    fingerprint: str = ""
    parallel: bool = False
    flow: str = ""
    part: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in RECORDS:
            raise MigakiError(
                f"stage {self.name!r}: no record in storage/kinds.py is of kind {self.kind!r}; kinds are {', '.join(RECORDS)}"
            )

    @property
    def command(self) -> str:
        """The flow, deployment and command that make it."""
        return self.flow or self.name

    @property
    def module(self) -> str:
        """The module of the body."""
        return self.body.partition(":")[0]

    @property
    def inputs(self) -> dict[Role, tuple[str, ...]]:
        """What it needs and what it takes."""
        return {**self.needs, **self.takes}

    @property
    def own_settings(self) -> type[StageSettings]:
        """What the body takes: align has one model for its two bodies, and each is keyed by its own fields alone."""
        return self.counts or self.settings

    def counting(self, settings: StageSettings) -> StageSettings:
        """The part of `settings` that is this stage's."""
        wanted = self.own_settings
        if type(settings) is wanted:
            return settings
        return wanted.model_validate({name: getattr(settings, name) for name in wanted.model_fields})


def load(address: str) -> Any:
    """What `"module:NAME"` names.

    Raises:
        MigakiError: there is no such module, or nothing of that name in it.
    """
    module, _, name = address.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise MigakiError(
                f"{address!r}: there is no module {error.name!r}; accepted is module:name of one that can be imported"
            ) from error
        raise
    except AttributeError as error:
        raise MigakiError(f"{address!r}: {module} has no {name!r}") from error


def function(address: str) -> Callable[..., Any]:
    """The function that `"module:function"` names. Raises what `load` raises."""
    found: Callable[..., Any] = load(address)
    return found
