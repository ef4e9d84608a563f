"""Merge the adapters, write the smaller variants, measure each, pick one for serving."""

from prefect import flow
from pydantic import Field

from flows.dispatch import stage_flow
from flows.params import RunSettings
from tasks.quantization.settings import QuantizeSettings


@flow(name="quantize")
def quantize(
    quantize: QuantizeSettings = QuantizeSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = Field(default_factory=dict, description="Artifact ids by role; empty takes the newest"),
    parent_run: str = Field("", description="Left empty: set when a retraining run started this one"),
) -> str:
    """Merge the adapters, write the smaller variants, measure each, pick one for serving. Returns the artifact's id."""
    return stage_flow("quantize", quantize, run, inputs, parent_run)
