"""RLHF in its order: reward models from preference pairs on the tuned model, then PPO against the first of them, or another algorithm."""

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from flows.running.dispatch import stage_flow
from flows.running.parameters import RunSettings
from tasks.rlhf.settings import AlignSettings


@flow(name="align")
def align(
    align: AlignSettings = AlignSettings(),
    run: RunSettings = RunSettings(),
    inputs: Annotated[dict[str, str], Field(description="Artifact ids by role; empty takes the newest")] = {},
    part: Annotated[Literal["all", "reward", "policy"], Field(description="Only the reward models, only the policy, or both")] = "all",
    parent_run: Annotated[str, Field(description="Left empty: set when a retraining run started this one")] = "",
) -> str:
    """RLHF: reward models, then the policy. Returns the id of the last artifact made."""
    made = ""
    for name, wanted in (("reward", part != "policy"), ("align", part != "reward")):
        if wanted:
            made = stage_flow(name, align, run, inputs | ({"reward": made} if made and inputs else {}), parent_run)
    return made
