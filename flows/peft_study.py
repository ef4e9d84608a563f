"""Compare the tuning methods on the same rows: what learns, memory, speed and held-out loss."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.studies.peft.settings import PeftStudySettings


@flow(name="peft_study", flow_run_name=named)
def peft_study(
    peft_study: PeftStudySettings = PeftStudySettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Compare the tuning methods on the same rows: what learns, memory, speed and held-out loss. Changes no release. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("peft_study", peft_study, run, inputs, parent_run)
