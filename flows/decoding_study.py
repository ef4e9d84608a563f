"""Compare ways of decoding on held-out prompts."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.studies.decoding.settings import DecodingStudySettings


@flow(name="decoding_study", flow_run_name=named)
def decoding_study(
    decoding_study: DecodingStudySettings = DecodingStudySettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Compare ways of decoding on held-out prompts of the newest dataset, with the newest model, before the first one the base model. Nothing that serves
    changes. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    return stage_flow("decoding_study", decoding_study, run, inputs, parent_run)
