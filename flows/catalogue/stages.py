"""What can be run, in the order of a retraining run: each declared in the `spec.py` of its folder."""

from tasks.errors import MigakiError
from tasks.stages.spec import FlowSpec, StageSpec, load

DECLARED = (
    "tasks.data.spec:PREPARE",
    "tasks.chatbot.safety.spec:SAFETY",
    "tasks.training.spec:PRETRAIN",
    "tasks.training.spec:TUNE",
    "tasks.rlhf.spec:REWARD",
    "tasks.rlhf.spec:ALIGN",
    "tasks.rlhf.spec:CHOOSE",
    "tasks.quantization.spec:QUANTIZE",
    "tasks.rag.spec:INDEX",
    "tasks.calibration.spec:CALIBRATE",
    "tasks.answering.spec:ANSWERING",
    "tasks.studies.decoding.spec:DECODING_STUDY",
    "tasks.studies.benchmarks.spec:BENCHMARK",
    "tasks.studies.prompting.spec:PROMPT_STUDY",
    "tasks.studies.prompting.spec:OWN_PROMPTS",
    "tasks.studies.peft.spec:PEFT_STUDY",
    "tasks.evaluation.spec:EVALUATE",
    "tasks.evaluation.spec:PROMOTE",
)

SPECS: dict[str, FlowSpec] = {spec.name: spec for spec in map(load, DECLARED)}
STAGES: dict[str, StageSpec] = {name: spec for name, spec in SPECS.items() if isinstance(spec, StageSpec)}
# What has a flow, a command, a deployment and a section of the settings: a stage that another's flow runs has none of its own.
FLOWS: dict[str, FlowSpec] = {name: spec for name, spec in SPECS.items() if not (isinstance(spec, StageSpec) and spec.command != name)}


def stage(name: str) -> StageSpec:
    """The declaration of a stage.

    Raises:
        MigakiError: there is none of that name.
    """
    if name not in STAGES:
        raise MigakiError(f"there is no stage {name!r}; stages are {', '.join(STAGES)}")
    return STAGES[name]
