"""How the stage answering is declared."""

from tasks.answering.settings import AnsweringSettings
from tasks.stages.spec import StageSpec

ANSWERING = StageSpec(
    name="answering",
    help="measure how each language is best answered: written, quoted, or both",
    settings=AnsweringSettings,
    kind="answering",
    body="tasks.answering.task:answering",
    # The release is what the model becomes as long as nothing is measured: those who run it name it.
    needs={"release": ("quantize",), "calibration": ("calibrate",), "index": ("index",), "dataset": ("prepare",)},
    models=("embedder", "embedder_en"),
    pool="gpu",
)
