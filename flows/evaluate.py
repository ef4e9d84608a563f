"""Score base, tuned, aligned, release and champion on the same items."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.gate import releases_for
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.evaluation.settings import EvaluateSettings


@flow(name="evaluate", flow_run_name=named)
def evaluate(
    evaluate: EvaluateSettings = EvaluateSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Score base, tuned, aligned, release and champion on the same items. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("evaluate", evaluate, run, inputs, parent_run, releases_for)
