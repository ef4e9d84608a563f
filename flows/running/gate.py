"""The gate: what is decided, never cached, from one evaluation; and which champion it is against."""

import uuid
from dataclasses import asdict

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.kinds import Evaluation
from storage.queries.evaluations import figures_of
from storage.registry import Promotion, champion, record_promotion
from tasks.errors import MigakiError
from tasks.evaluation.promotion import METRIC, Decision, decide
from tasks.evaluation.settings import PromoteSettings


def reigning(home: Home, release: ArtifactRef) -> dict[str, ArtifactRef]:
    """The champion as an input of the evaluation, when there is one and it is another model than the release."""
    now = champion(home)
    if now is None or now.artifact_id == release.id:
        return {}
    return {"champion": ArtifactStore(home).get(now.artifact_id)}


def gate(settings: PromoteSettings, home: Home, release: ArtifactRef, evaluation: ArtifactRef, run_id: str) -> Decision:
    """Decide on the release, record it and move the stages of the models, in one transaction.

    Raises:
        MigakiError: the evaluation is not of this release, or lacks the champion.
    """
    now = champion(home)
    if now and now.artifact_id == release.id:
        return Decision("unchanged", "keep: unchanged, the release is the champion already")
    measured = Evaluation.of(evaluation.meta, f"the evaluation {evaluation.id[:12]}").models
    against = "champion" if now and "champion" in measured else "base"
    if measured.get("release") != release.id or (now and measured.get("champion") not in (None, now.artifact_id)):
        raise MigakiError("the newest evaluation is not of this release and this champion: run `migaki evaluate` first")
    decision = decide([asdict(figure) for figure in figures_of(home, evaluation.id)], against, settings)
    promotion = Promotion(
        promotion_id=str(uuid.uuid4()),
        run_id=run_id,
        model_id=release.id,
        champion_id=now.model_id if now else None,
        evaluation_id=evaluation.id,
        metric=METRIC,
        **asdict(decision),
    )
    record_promotion(home, promotion)
    return decision
