"""Continued pre-training on raw text; its result feeds tune. Runs when somebody has new text of the field."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.training.settings import PretrainSettings


@flow(name="pretrain", flow_run_name=named)
def pretrain(
    pretrain: PretrainSettings = PretrainSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Continued pre-training on raw text; its result feeds tune. Runs when somebody has new text of the field. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("pretrain", pretrain, run, inputs, parent_run)
