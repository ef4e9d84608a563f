"""Merge the adapters, write the smaller variants, measure each, pick one for serving."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.quantization.settings import QuantizeSettings


@flow(name="quantize", flow_run_name=named)
def quantize(
    quantize: QuantizeSettings = QuantizeSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Merge the adapters, write the smaller variants, measure each, pick one for serving. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("quantize", quantize, run, inputs, parent_run)
