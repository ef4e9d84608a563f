"""Compare ways of decoding on held-out prompts."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from tasks.studies.decoding.settings import DecodingStudySettings


@flow(name="decoding_study", flow_run_name=named)
def decoding_study(
    decoding_study: DecodingStudySettings = DecodingStudySettings(),
    run: RunSettings = RunSettings(),
    inputs: Annotated[dict[str, str], Field(description="Artifact ids by role; empty takes the newest")] = {},
    parent_run: ParentRun = "",
) -> str:
    """Compare ways of decoding on held-out prompts of the newest dataset, with the newest model, before the first one the base model. Nothing that serves
    changes. Returns the artifact's id."""
    return stage_flow("decoding_study", decoding_study, run, inputs, parent_run)
