"""How the stage calibrate is declared."""

from tasks.calibration.settings import CalibrateSettings
from tasks.stages.spec import StageSpec

CALIBRATE = StageSpec(
    name="calibrate",
    help="fit how sure the chatbot must be of an index, on the team's own questions",
    settings=CalibrateSettings,
    kind="calibration",
    body="tasks.calibration.task:calibrate",
    needs={"index": ("index",), "dataset": ("prepare",)},
    models=("embedder", "embedder_en"),
)
