"""Build the knowledge index. Runs on demand, when documents changed, and after every retraining."""

from collections.abc import Callable

from prefect import flow

from flows.running.debounce import later_run
from flows.running.dispatch import log_of, stage_flow
from flows.running.events import INDEX_LIVE, INDEX_REFUSED, emit
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.kinds import Index
from storage.registry import champion_index, newest_artifact, set_champion_index
from tasks.calibration.settings import CalibrateSettings
from tasks.rag.settings import IndexSettings

MAX_DROP = 0.02  # of hit@5


@flow(name="index", flow_run_name=named)
def index(
    index: IndexSettings = IndexSettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
    serve_anyway: bool = False,
) -> str:
    """Build the knowledge index. Runs on demand, when documents changed, and after every retraining. Returns the artifact's id, or "" where a run that
    a later event started will do it.

    Args:
        inputs: Artifact ids by role; empty takes the newest
        serve_anyway: Let it serve also where it finds the documents of the stored questions less often
    """
    if not parent_run and (later := later_run()):
        log_of(run)(f"index: documents changed again, and {later} reads them: nothing is left to do here")
        return ""
    made = stage_flow("index", index, run, inputs, parent_run)
    if not parent_run:
        home = Home.current()
        go_live(home, ArtifactStore(home).get(made), calibrated(home, made, run), log_of(run), anyway=serve_anyway)
    return made


def calibrated(home: Home, index: str, run: RunSettings) -> str | None:
    """The calibration of an index on the newest dataset's questions; None, for the bundled one, in a home without a dataset."""
    dataset = newest_artifact(home, kind="dataset")
    if dataset is None:
        return None
    return stage_flow("calibrate", CalibrateSettings(), run, {"index": index, "dataset": dataset.artifact_id}, "")


def go_live(home: Home, index: ArtifactRef, calibration: str | None, log: Callable[[str], None], *, anyway: bool = False) -> bool:
    """Let an index serve with its calibration (artifact id, None for the bundled one), unless it finds the right documents clearly less often than the
    one that serves now (hit@5 over the stored questions about the documents that it holds).

    Args:
        anyway: let it serve all the same.
    """
    now = champion_index(home)
    if now and (now.artifact_id, now.calibration_id) == (index.id, calibration):
        return True
    before, after = (now.hit_at_5 if now else None), Index.of(index.meta, f"the index {index.id[:12]}").hit_at_5
    facts = {"hit_at_5": after, "hit_at_5_before": before, "index_before": now.artifact_id if now else None}
    worse = now and now.artifact_id != index.id and before is not None and after is not None and after < before - MAX_DROP
    if worse and not anyway:
        reason = (
            f"it finds the right document among five for {after:.3f} of the stored questions about its "
            f"documents, the index {now.artifact_id[:12] if now else ''}, which goes on serving, for {before:.3f}"
        )
        log(f"index: {index.id[:12]} DOES NOT SERVE: {reason}")
        log("index: `migaki index --serve-anyway`, with the same documents and settings, lets it serve")
        emit(home, INDEX_REFUSED, "index", index.id, {"reason": reason} | facts)
        return False
    set_champion_index(home, index.id, calibration)
    emit(home, INDEX_LIVE, "index", index.id, facts | {"calibration": calibration})
    return True
