"""Fit how sure the chatbot must be of the index, on the team's own questions. Runs with every rebuild of the index, and when questions changed."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.kinds import Calibration
from storage.registry import champion_index, set_champion_index
from tasks.calibration.settings import CalibrateSettings


@flow(name="calibrate", flow_run_name=named)
def calibrate(
    calibrate: CalibrateSettings = CalibrateSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Fit how sure the chatbot must be of the index, on the team's own questions; it serves at once where its index does. Returns the artifact's id.

    Args:
        inputs: Artifact ids by role; empty takes the newest
    """
    made = stage_flow("calibrate", calibrate, run, inputs, parent_run)
    home = Home.current()
    index, now = Calibration.of(ArtifactStore(home).get(made).meta, f"the calibration {made[:12]}").index, champion_index(home)
    if not parent_run and now is not None and now.artifact_id == index:
        set_champion_index(home, index, made)
    return made
