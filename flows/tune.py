"""Instruction tuning of the base model (or of the pre-trained one)."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.training.settings import TuneSettings


@flow(name="tune", flow_run_name=named)
def tune(
    tune: TuneSettings = TuneSettings(),
    run: RunSettings = RunSettings(),
    inputs: Annotated[dict[str, str], Field(description="Artifact ids by role; empty takes the newest")] = {},
    parent_run: ParentRun = "",
) -> str:
    """Instruction tuning of the base model (or of the pre-trained one). Returns the artifact's id."""
    return stage_flow("tune", tune, run, inputs, parent_run)
