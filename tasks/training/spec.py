"""How the stages pretrain and tune are declared."""

from tasks.stages.spec import StageSpec
from tasks.training.settings import PretrainSettings, TuneSettings

PRETRAIN = StageSpec(
    name="pretrain",
    help="continue pre-training on raw text (give it to prepare with --text)",
    settings=PretrainSettings,
    kind="adapter",
    body="tasks.training.task_pretrain:pretrain",
    needs={"dataset": ("prepare",)},
    pool="gpu",
    parallel=True,
)
TUNE = StageSpec(
    name="tune",
    help="instruction tuning",
    settings=TuneSettings,
    kind="adapter",
    body="tasks.training.task_tune:tune",
    needs={"dataset": ("prepare",)},
    takes={"pretrained": ("pretrain",)},
    pool="gpu",
    parallel=True,
)
