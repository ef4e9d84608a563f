"""How the study prompt_study is declared: one flow runs it on published questions, or on the team's own."""

from tasks.stages.spec import StageSpec
from tasks.studies.prompting.settings import OwnPromptsSettings, PromptStudySettings, SolvingSettings

HELP = "ways of asking beside each other: examples, step by step, several votes; or templates of the chatbot, on the team's own questions"
PROMPT_STUDY = StageSpec(
    name="prompt_study",
    help=HELP,
    settings=PromptStudySettings,
    counts=SolvingSettings,
    kind="study",
    body="tasks.studies.prompting.task_solving:prompt_study",
    fingerprint="tasks.studies.prompting.fingerprint:questions_and_prompts",
    pool="gpu",
    in_retrain=False,
)
OWN_PROMPTS = StageSpec(
    name="own_prompts",
    help=HELP,
    settings=PromptStudySettings,
    counts=OwnPromptsSettings,
    kind="study",
    body="tasks.studies.prompting.task_own:own_prompts",
    needs={"release": ("quantize",), "calibration": ("calibrate",), "index": ("index",), "dataset": ("prepare",)},
    models=("embedder", "embedder_en"),
    fingerprint="tasks.studies.prompting.fingerprint:templates",
    pool="gpu",
    in_retrain=False,
    flow="prompt_study",
)
