"""The gate: the release against the champion, decided anew each time. Promoting a release never moves the index."""

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.catalogue.stages import FLOWS
from flows.index import calibrated, go_live
from flows.running.dispatch import Recorder, log_of, recorded
from flows.running.gate import gate
from flows.running.inputs import newest_inputs
from flows.running.names import named
from flows.running.pages import plain
from flows.running.parameters import RunSettings
from flows.running.releases import release_with
from storage.artifacts import ArtifactRef
from tasks.evaluation.settings import PromoteSettings


@flow(name="promote", flow_run_name=named)
def promote(promote: PromoteSettings = PromoteSettings(), run: RunSettings = RunSettings()) -> str:
    """Decide on the newest model's release by its newest evaluation. Returns the decision."""
    with recorded("promote", run, promote.model_dump(mode="json")) as this:
        newest = newest_inputs(this.home, FLOWS["promote"])
        release = release_with(this.home, newest["release"], this.run_id, newest["index"].id)
        decision = decide(promote, release, newest["evaluation"], this)
        go_live(this.home, newest["index"], calibrated(this.home, newest["index"].id, run), log_of(run))
        return decision


def decide(settings: PromoteSettings, release: ArtifactRef, evaluation: ArtifactRef, this: Recorder) -> str:
    """Decide, record, and write the decision as an artifact of the Prefect run."""
    decision = gate(settings, this.home, release, evaluation, this.run_id)
    get_run_logger().info("%s: %s", decision.decision, decision.reason)
    create_markdown_artifact(
        f"**{plain(decision.decision)}**\n\n{plain(decision.reason)}\n\nrelease `{release.id[:12]}`",
        key="promotion",
        description="Promotion decision",
    )
    return decision.decision
