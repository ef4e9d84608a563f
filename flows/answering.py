"""Measure how each language is best answered by the newest model: written, quoted, or both."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from flows.running.releases import unmeasured
from tasks.answering.settings import AnsweringSettings


@flow(name="answering", flow_run_name=named)
def answering(
    answering: AnsweringSettings = AnsweringSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Measure how each language is best answered by the newest model: written, quoted, or both. The release that is made of the model next is answered
    so. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("answering", answering, run, inputs, parent_run, unmeasured)
