"""How the stage quantize is declared."""

from tasks.quantization.settings import QuantizeSettings
from tasks.stages.spec import StageSpec

QUANTIZE = StageSpec(
    name="quantize",
    help="merge the adapters and write the smaller variants",
    settings=QuantizeSettings,
    kind="model",
    body="tasks.quantization.task:quantize",
    needs={"aligned": ("choose", "align", "tune"), "dataset": ("prepare",)},
    pool="gpu",
)
