"""RLHF in its order: reward models from preference pairs on the tuned model, then PPO against the first of them, or another algorithm; then
which model goes on, the aligned or the tuned one.

KTO on unpaired feedback does without the first part."""

from typing import Literal, cast

from prefect import flow

from flows.catalogue.stages import STAGES
from flows.running.dispatch import stage_flow
from flows.running.inputs import newest_inputs
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from storage.artifacts import ArtifactStore, read_manifest
from storage.home import Home
from storage.kinds import Dataset
from tasks.rlhf.settings import AlignSettings
from tasks.rlhf.unpaired import READER, Counts, without_reward_models


@flow(name="align", flow_run_name=named)
def align(
    align: AlignSettings = AlignSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    part: Literal["all", "reward", "policy", "choose"] = "all",
    parent_run: ParentRun = "",
) -> str:
    """RLHF: reward models, then the policy, then which model goes on. Returns the id of the last artifact made.

    Args:
        inputs: Artifact ids by role; empty takes the newest
        part: Only the reward models, only the policy, only which model goes on, or all of it
    """
    made, spared = "", {}
    if not parent_run and part in ("all", "policy"):
        spared = _inputs_without_reward(cast(AlignSettings, run.applied_to(align)), inputs)
    if part in ("all", "reward") and not spared:
        made = stage_flow("reward", align, run, inputs, parent_run)
    if part in ("all", "policy"):
        made = stage_flow("align", align, run, spared or inputs | ({"reward": made} if made and inputs else {}), parent_run)
    if part in ("all", "choose"):
        made = stage_flow("choose", align, run, _made_from(made) if made else inputs, parent_run)
    return made


def _made_from(aligned: str) -> dict[str, str]:
    """An aligned model and what it was made from, by role."""
    store = ArtifactStore(Home.current())
    made_from: dict[str, str] = (read_manifest(store.path(store.get(aligned))) or {})["inputs"]
    return made_from | {"aligned": aligned}


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
