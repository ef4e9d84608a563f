"""Releases: made of a model and settings, kept by the hash of what they hold, and put in each other's place."""

import uuid
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from flows.running.events import tell_of_decision
from flows.running.parameters import BUNDLED_MODEL, RunSettings
from storage.artifacts import ArtifactRef, ArtifactStore, content_key, read_manifest, reference
from storage.audit import system_user
from storage.home import Home
from storage.kinds import Answering, Kind, Model, Release, Ways
from storage.registry import champion, newest_classifier, register
from storage.releases import (
    KeptRelease,
    Promotion,
    before_champion,
    champion_release,
    crown_first,
    newest_releases,
    note_release,
    record_promotion,
    release_named,
)
from storage.rows import check_rows
from tasks.chatbot.release import Sections, answering_of
from tasks.chatbot.settings import ChatSettings
from tasks.errors import MigakiError
from tasks.prompts.context import bundled_templates
from tasks.prompts.library.library import NOTES
from tasks.prompts.library.released import named, named_in, read_templates, template_of

BASE = "base"  # the stage of a base model that is served as it is
ELSEWHERE = {"server", "server_model", "templates", "answering"}  # settings of the chat that have a place of their own in a release
WAY_OUT = (
    "`migaki promote --rollback` goes back to the release before it, `migaki promote --to ID` takes another (`migaki status` lists them), and "
    "`migaki retrain` makes what is missing anew where settings, data and code are what they were"
)


def release_of(home: Home, sections: Sections, model: ArtifactRef | None, classifier: str, former: Release | None = None) -> Release:
    """What these settings make of a model, or of the server that `chat.server` names.

    Args:
        classifier: artifact id, "" for rules alone.
        former: whose templates stay where `chat.templates` names none, and whose ways of answering stay with its model.

    Raises:
        MigakiError: there is neither, a server is named without its model, or a template is none.
    """
    chat = sections.chat
    if bool(chat.server) != bool(chat.server_model):
        raise MigakiError(
            f"chat.server = {chat.server!r} needs chat.server_model: which of its models is to answer"
            if chat.server
            else f"chat.server_model = {chat.server_model!r} needs chat.server: where it answers"
        )
    if not chat.server and model is None:
        raise MigakiError("a release names a model, which `migaki quantize` makes, or a server (chat.server)")
    served = None if chat.server else model
    stays = former is not None and (former.model, former.server, former.server_model) == (
        served.id if served else "",
        chat.server,
        chat.server_model,
    )
    prompts = read_templates(chat.templates)
    kept = {one.lang: one for one in (former.prompts if former else None) or ()} | {lang: named(prompt) for lang, prompt in prompts.items()}
    return Release(
        model=served.id if served else "",
        precision=Model.of(served.meta, f"the model {served.id[:12]}").precision if served else "",
        server=chat.server,
        server_model=chat.server_model,
        templates=(former.templates if former else bundled_templates())
        | {lang: template_of(prompt, prompt.name) for lang, prompt in prompts.items()},
        prompts=[one for _, one in sorted(kept.items()) if one.name != NOTES] or None,
        chat=chat.model_dump(mode="json", exclude=chat.OPERATIONAL | ELSEWHERE),
        answering=(former.answering if former and stays else _answering(home, served)) | chat.answering,
        tools=sections.tools.model_dump(mode="json", exclude=sections.tools.OPERATIONAL),
        safety=sections.safety.model_dump(mode="json"),
        classifier=classifier,
    )


def _answering(home: Home, model: ArtifactRef | None) -> dict[str, Answering]:
    """How each language is answered by a model as long as nothing else is said; of a server nothing is known."""
    if model is None:
        return answering_of("", tuned=True)
    manifest = read_manifest(ArtifactStore(home).path(model)) or {}
    return answering_of(base_of(home, model), tuned=manifest.get("stage") != BASE)


def base_of(home: Home, model: ArtifactRef) -> str:
    """The reference of the base that a `model` artifact was made of."""
    return (read_manifest(ArtifactStore(home).path(model)) or {}).get("model") or BUNDLED_MODEL


def on_its_base(run: RunSettings, artifact_id: str) -> RunSettings:
    """The run on the base of what is named: an adapter, a model, or a release with one; "" names nothing."""
    if not artifact_id:
        return run
    home = Home.current()
    ref = ArtifactStore(home).get(artifact_id)
    if ref.kind == "release" and (model := Release.of(ref.meta, f"the release {ref.id[:12]}").model):
        ref = ArtifactStore(home).get(model)
    return run.model_copy(update={"model": base_of(home, ref)})


def keep_release(home: Home, release: Release, run_id: str | None = None, index_id: str | None = None) -> ArtifactRef:
    """Commit and register a release; one of the same content is that very release.

    Args:
        index_id: of the index that it is decided on with.
    """
    ref = commit_release(home, release, run_id)
    register(home, ref)
    note_release(home, ref.id, run_id, index_id)
    return ref


def commit_release(home: Home, release: Release, run_id: str | None = None) -> ArtifactRef:
    """Keep a release among the artifacts alone: one that is measured before there is anything to decide on is in no list of releases."""
    store, meta = ArtifactStore(home), release.meta()
    key = content_key(meta)
    if (ref := store.find("release", key)) is None or fault(home, key):
        store.discard("release", key)
        named = {"model": release.model, "classifier": release.classifier}
        with store.draft("release", key) as folder:
            facts = {"stage": "release", "run_id": run_id, "settings": {}, "inputs": {role: id for role, id in named.items() if id}}
            created = datetime.now(UTC).replace(tzinfo=None)
            _write_prompts(folder, release, created)
            ref = store.commit(folder, facts | {"model": None, "meta": meta, "seconds": 0.0, "created": created.isoformat()})
    return ref


def _write_prompts(folder: Path, release: Release, created: datetime) -> None:
    """The rows of the catalog's table `prompts` that come with a release."""
    rows = [asdict(one) | {"created": created} for one in named_in(release.templates, release.prompts)]
    if rows:
        (folder / "tables").mkdir()
        pq.write_table(check_rows("prompts", rows, "a release"), folder / "tables" / "prompts.parquet")


def measured(release: Release, ways: ArtifactRef, chat: ChatSettings) -> Release:
    """The release, each language answered as was measured, or as `chat.answering` says."""
    found = Ways.of(ways.meta, f"the ways of answering {ways.id[:12]}").languages
    return replace(release, answering=release.answering | {lang: own.way for lang, own in found.items()} | chat.answering)


def unmeasured(home: Home, inputs: dict[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """The inputs of a measurement that somebody runs by itself: in place of the newest model what it becomes as long as nothing is measured."""
    return inputs | {"release": commit_release(home, _unmeasured(home, inputs["release"]))}


def _unmeasured(home: Home, model: ArtifactRef) -> Release:
    """The newest release of a model, its languages answered as the catalogue says; one with the settings that the chat has by default where there is none."""
    known = newest_releases(home, 1, model=model.id)
    if known and not fault(home, known[0].release_id):
        return replace(opened_release(home, known[0].release_id), answering=_answering(home, model), headlines=None)
    return release_of(home, Sections.of({}), model, classifier_of(home))


def release_with(home: Home, model: ArtifactRef, run_id: str | None, index_id: str) -> ArtifactRef:
    """The newest release of a model; where it has none (its stages were run one by one), one with the settings that the chat has by default."""
    known = newest_releases(home, 1, model=model.id)
    if known and not fault(home, known[0].release_id):
        return ArtifactStore(home).get(known[0].release_id)
    release = release_of(home, sections := Sections.of({}), model, classifier_of(home))
    of_it = {"stage": "answering", "release": content_key(release.meta())}
    ways = [one for one in ArtifactStore(home).manifests() if {"stage": one["stage"], "release": one["inputs"].get("release")} == of_it]
    return keep_release(home, measured(release, reference(ways[-1]), sections.chat) if ways else release, run_id, index_id)


def classifier_of(home: Home) -> str:
    """The classifier that a new release has: the newest; "" before the first."""
    newest = newest_classifier(home)
    return newest.artifact_id if newest else ""


def fault(home: Home, release_id: str, *, whole: bool = False) -> str:
    """What of a release is gone or damaged, in words; "" where nothing is.

    Args:
        whole: whether the files of its model and classifier are read and held against their checksums.
    """
    manifest = read_manifest(home.objects / "release" / release_id)
    if manifest is None:
        return "it is gone"
    if content_key(manifest["meta"]) != release_id:
        return "it is damaged: it does not hold what its id says"
    release, store = Release.of(manifest["meta"], f"the release {release_id[:12]}"), ArtifactStore(home)
    parts: tuple[tuple[Kind, str], ...] = (("model", release.model), ("classifier", release.classifier))
    for kind, part in parts:
        if part and read_manifest(home.objects / kind / part) is None:
            return f"its {kind} {part[:12]} is gone"
        if part and whole and not store.is_whole(kind, part):
            return f"its {kind} {part[:12]} is damaged: its files are not what their checksums say"
    return ""


def opened_release(home: Home, release_id: str) -> Release:
    """What a release holds.

    Raises:
        MigakiError: it, its model or its classifier is gone, or it is damaged; says what to do.
    """
    if wrong := fault(home, release_id):
        raise MigakiError(f"the release {release_id[:12]} cannot serve: {wrong}. {WAY_OUT}")
    return Release.of(ArtifactStore(home).get(release_id).meta, f"the release {release_id[:12]}")


def reigning_release(home: Home) -> KeptRelease | None:
    """The release that serves. In a home from before there were releases one is made of the model that serves, with the settings that the chat
    has by default; None where nothing serves yet.

    Raises:
        StorageError: the model of such a home is gone.
    """
    now = champion_release(home)
    if now is not None or (model := champion(home)) is None:
        return now
    release = release_of(home, Sections.of({}), ArtifactStore(home).get(model.artifact_id), classifier_of(home))
    crown_first(home, keep_release(home, release).id)
    return champion_release(home)


def promote_to(home: Home, prefix: str) -> Promotion:
    """Put the release of that id, or of the only id that begins so, in the champion's place.

    Raises:
        MigakiError, StorageError: there is none, it serves already, it cannot serve, or another was promoted at the same moment.
    """
    now, wanted = reigning_release(home), release_named(home, prefix)
    if now and now.release_id == wanted.release_id:
        raise MigakiError(f"the release {wanted.release_id[:12]} serves already")
    return _put(home, wanted.release_id, now, Promotion(str(uuid.uuid4()), wanted.release_id, "promote", "promoted by hand (--to)"))


def roll_back(home: Home) -> Promotion:
    """Put the release that served before in the champion's place; once more, the one before that.

    Raises:
        MigakiError, StorageError: there is none, it cannot serve any more, or another was promoted at the same moment.
    """
    now, former = reigning_release(home), before_champion(home)
    if now is None or former is None:
        raise MigakiError(
            "no release served before the one that does now: `migaki promote --to ID` takes another (`migaki status` lists them)"
            if now
            else "no release serves yet: run `migaki retrain` first, or `migaki promote --to ID` where `migaki status` lists one"
        )
    return _put(home, former, now, Promotion(str(uuid.uuid4()), former, "rollback", f"back from {now.release_id[:12]} (--rollback)"))


def _put(home: Home, release_id: str, now: KeptRelease | None, promotion: Promotion) -> Promotion:
    if wrong := fault(home, release_id, whole=True):
        raise MigakiError(
            f"the release {release_id[:12]} cannot serve: {wrong}. Nothing was changed; `migaki status` lists the releases that there are"
        )
    promotion = replace(promotion, champion_release_id=now.release_id if now else None)
    record_promotion(home, promotion, system_user())
    tell_of_decision(home, promotion)
    return promotion
