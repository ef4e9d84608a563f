"""The gate: the release against the champion, decided anew each time. Promoting a model never moves the index."""

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.index import go_live
from flows.running.dispatch import Recorder, newest_inputs, recorded
from flows.running.parameters import RunSettings
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.registry import champion
from tasks.evaluation.settings import PromoteSettings


@flow(name="promote")
def promote(promote: PromoteSettings = PromoteSettings(), run: RunSettings = RunSettings()) -> str:
    """Decide on the newest release by its newest evaluation. Returns the decision."""
    with recorded("promote", run, promote.model_dump(mode="json")) as this:
        return decide(promote, newest_inputs("promote"), this)


def decide(settings: PromoteSettings, known: dict[str, ArtifactRef], this: Recorder) -> str:
    """Decide, record, and write the decision as an artifact of the Prefect run."""
    from tasks.evaluation.task import gate

    home = Home.current()
    decision = gate(settings, home, known["release"], known["evaluation"], this.run_id)
    go_live(home, known["index"])
    get_run_logger().info("%s: %s", decision.decision, decision.reason)
    create_markdown_artifact(
        f"**{decision.decision}**\n\n{decision.reason}\n\nrelease `{known['release'].id[:12]}`",
        key="promotion",
        description="Promotion decision",
    )
    return decision.decision


def reigning(release: ArtifactRef) -> dict[str, ArtifactRef]:
    """The champion as an input of the evaluation, when there is one and it is another model than the release."""
    home = Home.current()
    now = champion(home)
    if now is None or now.artifact_id == release.id:
        return {}
    return {"champion": ArtifactStore(home).get(now.artifact_id)}
