"""How the study of tuning methods is declared."""

from tasks.stages.spec import StageSpec
from tasks.studies.peft.settings import PeftStudySettings

PEFT_STUDY = StageSpec(
    name="peft_study",
    help="compare the tuning methods: what learns, memory, speed, held-out loss",
    settings=PeftStudySettings,
    kind="study",
    body="tasks.studies.peft.task:peft_study",
    needs={"dataset": ("prepare",)},
    pool="gpu",
    in_retrain=False,
)
