"""The gate: what is decided, never cached, from one evaluation; and which champion it is against."""

import uuid
from dataclasses import asdict, replace
from datetime import timedelta

from flows.running.events import tell_of_decision, tell_of_guards
from flows.running.releases import fault, reigning_release, release_with
from storage.approvals import expire
from storage.artifacts import ArtifactRef, ArtifactStore, read_manifest
from storage.catalog import utc_now
from storage.home import Home
from storage.kinds import Evaluation, Release
from storage.queries.evaluations import figures_of, turns_of
from storage.releases import Promotion, record_promotion
from tasks.chatbot.release import Sections
from tasks.errors import MigakiError
from tasks.evaluation.approval import for_a_person
from tasks.evaluation.promotion import Decision, Evidence, decide
from tasks.evaluation.settings import PromoteSettings


def with_champion(home: Home, release: ArtifactRef) -> dict[str, ArtifactRef]:
    """The releases as inputs of the evaluation: this one, and the champion where it is another one that can serve."""
    now = reigning_release(home)
    if now is None or now.release_id == release.id or fault(home, now.release_id):
        return {"release": release}
    return {"release": release, "champion": ArtifactStore(home).get(now.release_id)}


def releases_for(home: Home, inputs: dict[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """The inputs of an evaluation that somebody runs by itself: in place of the newest model its release, with its classifier, and the champion."""
    release = release_with(home, inputs["release"], None, inputs["index"].id)
    classifier = Release.of(release.meta, f"the release {release.id[:12]}").classifier
    named = {"classifier": ArtifactStore(home).get(classifier)} if classifier else {}
    return inputs | named | with_champion(home, release)


def gate(settings: PromoteSettings, home: Home, release: ArtifactRef, evaluation: ArtifactRef, run_id: str) -> Decision:
    """Decide on the release, or leave it to a person, record that and move the stages of releases and models, in one transaction.

    Raises:
        MigakiError: the evaluation is not of this release and this champion.
        StorageError: another champion serves by the time it is decided.
    """
    expire(home)
    now = reigning_release(home)
    if now and now.release_id == release.id:
        return Decision("unchanged", "keep: unchanged, the release is the champion already")
    until = utc_now() + timedelta(days=settings.approval_days)
    decision = for_a_person(decide(_evidence(home, release, evaluation), settings), settings, until)
    promotion = Promotion(
        promotion_id=str(uuid.uuid4()),
        release_id=release.id,
        run_id=run_id,
        champion_release_id=now.release_id if now else None,
        evaluation_id=evaluation.id,
        **{name: value for name, value in asdict(decision).items() if name != "guards"},
    )
    if decision.decision == "pending":
        promotion = replace(promotion, index_id=index_of(home, evaluation), expires=until)
    record_promotion(home, promotion)
    tell_of_decision(home, promotion)
    if decision.guards:
        tell_of_guards(home, "release", release.id, "promote", decision.guards)
    return decision


def index_of(home: Home, evaluation: ArtifactRef) -> str | None:
    """The index that an evaluation asked with; None where it asked with none."""
    manifest = read_manifest(ArtifactStore(home).path(evaluation))
    inputs: dict[str, str] = manifest["inputs"] if manifest else {}
    return inputs.get("index")


def _evidence(home: Home, release: ArtifactRef, evaluation: ArtifactRef) -> Evidence:
    """What the evaluation says of the release and of the champion, or of the base where no champion can serve.

    Wrong answers cost what the champion's settings say: a release that takes them lightly, or never dares to answer, is not to be judged by its own.
    """
    roles = with_champion(home, release)
    asked = Evaluation.of(evaluation.meta, f"the evaluation {evaluation.id[:12]}").releases or {}
    if asked != {role: ref.id for role, ref in roles.items()}:
        raise MigakiError("the newest evaluation is not of this release and this champion: run `migaki evaluate` first")
    new, old = (Release.of(ref.meta, f"the release {ref.id[:12]}") for ref in (release, roles.get("champion", release)))
    return Evidence(
        figures=[asdict(figure) for figure in figures_of(home, evaluation.id)],
        rows=[asdict(turn) for turn in turns_of(home, evaluation.id)],
        champion="champion" if "champion" in roles else "base",
        cost_wrong=Sections.of({}, old).chat.cost_wrong,
        no_loss=_no_loss(new, old if "champion" in roles else None),
    )


def _no_loss(new: Release, old: Release | None) -> str:
    """Why the loss of the models' answers tells nothing of two releases; "" where it does."""
    if new.server or (old and old.server):
        return "a server answers, whose loss is not known"
    return "the champion has the same model, and only settings differ" if old and new.model == old.model else ""
