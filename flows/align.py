"""RLHF in its order: reward models from preference pairs on the tuned model, then PPO against the first of them, or another algorithm.

KTO on unpaired feedback does without the first part."""

from typing import Annotated, Literal, cast

from prefect import flow
from pydantic import Field

from flows.catalogue.stages import STAGES
from flows.running.dispatch import stage_flow
from flows.running.inputs import newest_inputs
from flows.running.parameters import RunSettings
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.kinds import Dataset
from tasks.rlhf.settings import AlignSettings
from tasks.rlhf.unpaired import READER, Counts, without_reward_models


@flow(name="align")
def align(
    align: AlignSettings = AlignSettings(),
    run: RunSettings = RunSettings(),
    inputs: Annotated[dict[str, str], Field(description="Artifact ids by role; empty takes the newest")] = {},
    part: Annotated[Literal["all", "reward", "policy"], Field(description="Only the reward models, only the policy, or both")] = "all",
    parent_run: Annotated[str, Field(description="Left empty: set when a retraining run started this one")] = "",
) -> str:
    """RLHF: reward models, then the policy. Returns the id of the last artifact made."""
    if not parent_run and part != "reward":
        spared = _inputs_without_reward(cast(AlignSettings, run.applied_to(align)), inputs)
        if spared:
            return stage_flow("align", align, run, spared, parent_run)
    made = ""
    for name, wanted in (("reward", part != "policy"), ("align", part != "reward")):
        if wanted:
            made = stage_flow(name, align, run, inputs | ({"reward": made} if made and inputs else {}), parent_run)
    return made


def _inputs_without_reward(settings: AlignSettings, inputs: dict[str, str]) -> dict[str, str]:
    """What KTO works on where the dataset has unpaired feedback and hardly a pair, so that there are no reward models; {} in all other cases."""
    if settings.algorithm != READER or "reward" in inputs:
        return {}
    home = Home.current()
    store = ArtifactStore(home)
    refs = {role: store.get(artifact_id) for role, artifact_id in inputs.items()} or newest_inputs(home, STAGES["reward"])
    dataset = refs.get("dataset")
    if dataset is None or not without_reward_models(settings, Counts.of(Dataset.of(dataset.meta, dataset.id).rows)):
        return {}
    return {role: ref.id for role, ref in refs.items()}
