"""How the stage evaluate and the gate are declared."""

from tasks.evaluation.settings import EvaluateSettings, PromoteSettings
from tasks.stages.spec import FlowSpec, StageSpec

EVALUATE = StageSpec(
    name="evaluate",
    help="score all models on the same items",
    settings=EvaluateSettings,
    kind="evaluation",
    body="tasks.evaluation.task:evaluate",
    needs={"release": ("quantize",), "index": ("index",), "dataset": ("prepare",)},
    # The release that a model becomes, and the champion, are those who run it to name.
    takes={
        "tuned": ("tune",),
        "aligned": ("align",),
        "reward": ("reward",),
        "classifier": ("safety",),
        "calibration": ("calibrate",),
        "champion": (),
    },
    models=("model", "embedder", "embedder_en"),
    fingerprint="tasks.evaluation.fingerprint:asked_and_measured",
    pool="gpu",
)
PROMOTE = FlowSpec(
    name="promote",
    help="decide whether the newest release becomes the champion",
    settings=PromoteSettings,
    needs={"evaluation": ("evaluate",), "release": ("quantize",), "index": ("index",)},
)
