"""The gate: what is decided, never cached, from one evaluation; and which champion it is against."""

import uuid
from dataclasses import asdict

from flows.running.releases import fault, reigning_release, release_with
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.kinds import Evaluation, Release
from storage.queries.evaluations import figures_of
from storage.releases import KeptRelease, Promotion, record_promotion
from tasks.errors import MigakiError
from tasks.evaluation.promotion import METRIC, Decision, decide
from tasks.evaluation.settings import PromoteSettings


def with_champion(home: Home, release: ArtifactRef) -> dict[str, ArtifactRef]:
    """Inputs of the evaluation: this release with its classifier, and the champion where it is another one that can serve."""
    store, now = ArtifactStore(home), reigning_release(home)
    classifier = Release.of(release.meta, f"the release {release.id[:12]}").classifier
    named = {"release": release} | ({"classifier": store.get(classifier)} if classifier else {})
    if now is None or now.release_id == release.id or fault(home, now.release_id):
        return named
    return named | {"champion": store.get(now.release_id)}


def releases_for(home: Home, inputs: dict[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """The inputs of an evaluation that somebody runs by itself: in place of the newest model its release, and the champion."""
    return inputs | with_champion(home, release_with(home, inputs["release"], None, inputs["index"].id))


def gate(settings: PromoteSettings, home: Home, release: ArtifactRef, evaluation: ArtifactRef, run_id: str) -> Decision:
    """Decide on the release, record it and move the stages of releases and models, in one transaction.

    Raises:
        MigakiError: the evaluation is not of this release's model, or lacks the champion's.
        StorageError: another champion serves by the time it is decided.
    """
    now, record = reigning_release(home), Release.of(release.meta, f"the release {release.id[:12]}")
    if now and now.release_id == release.id:
        return Decision("unchanged", "keep: unchanged, the release is the champion already")
    decision = _cannot_tell(record, now) or _measured(settings, home, release.id, now, evaluation)
    promotion = Promotion(
        promotion_id=str(uuid.uuid4()),
        release_id=release.id,
        run_id=run_id,
        champion_release_id=now.release_id if now else None,
        evaluation_id=evaluation.id,
        metric=METRIC,
        **asdict(decision),
    )
    record_promotion(home, promotion)
    return decision


def _cannot_tell(release: Release, now: KeptRelease | None) -> Decision | None:
    """The decision where the loss of a model's answers says nothing about two releases."""
    by_hand = "the champion stays, and `migaki promote --to ID` puts the release in its place"
    if release.server or (now and now.artifact_id is None):
        return Decision("inconclusive", f"inconclusive: a server answers, whose loss is not known; {by_hand}")
    if now and now.artifact_id == release.model:
        return Decision("inconclusive", f"inconclusive: the champion has the same model, and only settings differ; {by_hand}")
    return None


def _measured(settings: PromoteSettings, home: Home, release_id: str, now: KeptRelease | None, evaluation: ArtifactRef) -> Decision:
    asked = Evaluation.of(evaluation.meta, f"the evaluation {evaluation.id[:12]}").releases or {}
    against = "champion" if now and "champion" in asked else "base"
    if asked.get("release") != release_id or (now and asked.get("champion") not in (None, now.release_id)):
        raise MigakiError("the newest evaluation is not of this release and this champion: run `migaki evaluate` first")
    return decide([asdict(figure) for figure in figures_of(home, evaluation.id)], against, settings)
