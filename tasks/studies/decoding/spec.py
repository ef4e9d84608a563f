"""How the stage decoding_study is declared."""

from tasks.stages.spec import StageSpec
from tasks.studies.decoding.settings import DecodingStudySettings

DECODING_STUDY = StageSpec(
    name="decoding_study",
    help="compare ways of decoding on held-out prompts: correctness, diversity, repetition, likelihood, speed",
    settings=DecodingStudySettings,
    kind="study",
    body="tasks.studies.decoding.task:decoding_study",
    needs={"model": ("quantize", "choose", "align", "tune"), "dataset": ("prepare",)},
    spared={"model": "items"},  # which it always has: before the first model the base is studied
    pool="gpu",
    in_retrain=False,
)
