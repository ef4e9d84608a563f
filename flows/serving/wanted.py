"""What is to answer: the champion release, or what somebody serves in its place, and then in words how that differs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from flows.running.parameters import RunParams
from flows.running.releases import classifier_of, opened_release, reigning_release, release_of
from flows.serving.base import base_model
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.kinds import Release
from storage.registry import champion_index
from storage.releases import release_named
from tasks.chatbot.release import Sections
from tasks.errors import MigakiError

Said = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """A release as it is to be served.

    Attributes:
        release_id: "" where it is none that is kept; `unreleased` then says what it is.
        base_id: of the release that it was laid over, itself where nothing differs; "" where none serves yet.
        sections: its settings, with those of this machine beside them (device, seconds).
        said: what somebody said of them; over the next champion it holds as well.
        fixed: whether it was named, so that another champion does not take its place.
    """

    release: Release
    release_id: str
    base_id: str
    unreleased: str
    sections: Sections
    said: Said
    fixed: bool = False


def wanted(home: Home, artifact: str | None, said: Said) -> Wanted:
    """The champion release with what is said of `chat`, `tools` and `safety`; with `artifact`, with that model in its place, or that release.
    Where there is none yet but an index serves, the base model, which `run.model` names.

    Raises:
        MigakiError, StorageError: there is no champion yet, or it cannot serve; `artifact` is neither a model nor a release; a setting is wrong.
    """
    named = Sections.of(said).chat  # what is wrong there is told before anything is opened
    if named.server and artifact:
        raise MigakiError(f"{artifact!r} and chat.server = {named.server!r} cannot both answer: name one of them")
    ref, base_id, told = ArtifactStore(home).get(artifact) if artifact else None, "", []
    if ref is not None and ref.kind == "release":
        base_id, ref = ref.id, None
        told = [] if release_named(home, base_id).stage == "champion" else [f"the release {base_id[:12]}, which is not the champion"]
    elif ref is not None and ref.kind != "model":
        raise MigakiError(f"{ref.id[:12]} is of kind {ref.kind!r}; chat needs a model, which `migaki quantize` makes, or a release")
    elif now := reigning_release(home):
        base_id = now.release_id
    elif not named.server and champion_index(home):
        ref, told = base_model(home, RunParams(said).run.model), ["the base model, until a release is promoted"]
    base = opened_release(home, base_id) if base_id else _without_champion(home, ref, Sections.of(said))
    release, sections = _overlaid(home, base, ref, said)
    before, _ = _overlaid(home, base, None, {})
    told += _variant(before, release, known=bool(base_id or told)) + list(_differences(before, release))
    unreleased = f"unreleased: {', '.join(told)}" if told else ""
    return Wanted(release, "" if told else base_id, base_id, unreleased, sections, said, bool(artifact or named.server))


def _without_champion(home: Home, ref: ArtifactRef | None, sections: Sections) -> Release:
    """What a model or a server that is named is compared with in a home where nothing serves yet: itself with the settings that the chat has by default."""
    chat = sections.chat
    if ref is None and not chat.server:
        raise MigakiError(
            "there is no champion yet: run `migaki retrain` first, or `migaki index --documents FOLDER`, about which the base model then answers "
            "(`migaki status` shows the models, `--artifact ID` takes one of them)"
        )
    plain = Sections.of({"chat": {"server": chat.server, "server_model": chat.server_model}})
    return release_of(home, plain, ref, classifier_of(home))


def _overlaid(home: Home, base: Release, ref: ArtifactRef | None, said: Said) -> tuple[Release, Sections]:
    """A release with what is said, and its settings."""
    if ref is not None:  # which takes the place of a server too
        said = said | {"chat": said.get("chat", {}) | {"server": "", "server_model": ""}}
    sections = Sections.of(said, base)
    model = ref or (ArtifactStore(home).get(base.model) if base.model else None)
    return release_of(home, sections, model, base.classifier, base), sections


def _variant(base: Release, release: Release, *, known: bool) -> list[str]:
    """What else answers; all that does, where the base is none that is kept. An address is nothing to those who read this."""
    if release.server and not (known and (base.server, base.server_model) == (release.server, release.server_model)):
        return [f"chat.server with its model {release.server_model}"]
    if release.model and not (known and base.model == release.model):
        return [f"artifact {release.model[:12]}"]
    return []


def _differences(base: Release, release: Release) -> Iterator[str]:
    """The settings that differ, with numbers and choices; what somebody wrote (a system message, addresses) is only said to be another."""
    sections: dict[str, Any] = {field.name: field.type for field in fields(Sections)}
    for section, model in sections.items():
        before, after = getattr(base, section), getattr(release, section)
        for name, value in after.items():
            if value != before[name]:
                written = model.model_fields[name].annotation is str
                yield f"another {section}.{name}" if written else f"{section}.{name} = {json.dumps(value)}".replace('"', "")
    for lang, template in release.templates.items():
        if template != base.templates.get(lang):
            yield f"another template for {lang}"
