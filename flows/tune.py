"""Instruction tuning of the base model (or of the pre-trained one)."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.training.settings import TuneSettings


@flow(name="tune", flow_run_name=named)
def tune(
    tune: TuneSettings = TuneSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Instruction tuning of the base model (or of the pre-trained one). Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("tune", tune, run, inputs, parent_run)
