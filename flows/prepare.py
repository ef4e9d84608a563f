"""Read, clean and split the data, and register the dataset version."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.feedback import with_feedback
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.data.settings import PrepareSettings


@flow(name="prepare", flow_run_name=named)
def prepare(
    prepare: PrepareSettings = PrepareSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Read, clean and split the data, and register the dataset version. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("prepare", with_feedback(prepare), run, inputs, parent_run)
