"""Train the classifier of harmful requests that stands behind the chatbot's rules."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.chatbot.safety.settings import SafetySettings


@flow(name="safety", flow_run_name=named)
def safety(
    safety: SafetySettings = SafetySettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Train the classifier of harmful requests. Returns the artifact's id; what `promote` makes a release of from then on has it, while
    `retrain` trains its own.

    Args:
        inputs: Left empty: the stage reads files alone
    """
    return stage_flow("safety", safety, run, inputs, parent_run)
