"""Chat with the champion in the terminal. What is said is kept in the catalog."""

import json
import os
import sys
import uuid
from typing import Any

from flows.params import BUNDLED_EMBEDDER, BUNDLED_MODEL
from flows.show import console
from storage import ArtifactStore, Catalog, Home
from storage.artifacts import read_manifest
from storage.catalog import insert, utc_now
from storage.registry import champion, champion_index
from tasks.errors import MigakiError
from tasks.models.catalogue import weak_languages
from tasks.models.reference import resolve


def chat_in_terminal(home: Home, artifact: str | None, said: dict[str, Any]) -> dict[str, Any]:
    """Talk with the champion, or with the model artifact named.

    Raises:
        MigakiError: there is no champion yet, or the artifact is no model.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from tasks.chatbot.engine import ChatEngine, Turn
    from tasks.chatbot.settings import ChatSettings
    from tasks.chatbot.terminal import run_chat
    from tasks.models.loader import load_model, load_tokenizer

    settings = ChatSettings.build("chat", said)
    store = ArtifactStore(home)
    now = champion(home)
    if artifact is None and now is None:
        raise MigakiError(
            "there is no champion yet: run `migaki retrain` first (`migaki status` shows the models, `migaki chat --artifact ID` talks with one)"
        )
    ref = store.get(artifact or now["artifact_id"])
    if ref.kind != "model":
        raise MigakiError(f"{ref.id[:12]} is of kind {ref.kind!r}; chat needs a model, which `migaki quantize` makes")
    base = (read_manifest(store.path(ref)) or {}).get("model") or BUNDLED_MODEL
    folder = store.path(ref) / ref.meta["model"]
    engine = ChatEngine(load_model(folder), load_tokenizer(folder), open_champion_index(home, store), settings, weak_languages(base))
    console.print(
        f"talking with {ref.id[:12]} ({ref.meta.get('precision')}, base {base}); documents: {'yes' if engine.retriever else 'none'}"
    )
    conversation = str(uuid.uuid4())

    def keep(turn: Turn) -> None:
        sources = json.dumps(
            [{"chunk_id": hit.chunk_id, "document": hit.document, "score": hit.score} for hit in turn.sources], ensure_ascii=False
        )
        ordinal = len(engine.conversation.turns)
        with Catalog.of(home).write() as connection:
            if not connection.execute("SELECT 1 FROM conversations WHERE conversation_id = ?", [conversation]).fetchone():
                insert(
                    connection,
                    "conversations",
                    [{"conversation_id": conversation, "model_id": ref.id, "started": utc_now(), "channel": "terminal"}],
                )
            insert(
                connection,
                "messages",
                [
                    {
                        "message_id": str(uuid.uuid4()),
                        "conversation_id": conversation,
                        "ordinal": ordinal - 1,
                        "role": "user",
                        "content": turn.question,
                        "sources": None,
                        "ts": utc_now(),
                    },
                    {
                        "message_id": str(uuid.uuid4()),
                        "conversation_id": conversation,
                        "ordinal": ordinal,
                        "role": "assistant",
                        "content": turn.answer.strip(),
                        "sources": sources,
                        "ts": utc_now(),
                    },
                ],
            )

    return {"answers": run_chat(engine, input, sys.stderr if "--json" in sys.argv else sys.stdout, keep), "conversation": conversation}


def open_champion_index(home: Home, store: ArtifactStore) -> Any:
    """The index that serves, with the embedder it was built with, or None before the first."""
    now = champion_index(home)
    if now is None:
        return None
    from tasks.rag.retrieval import open_index

    embedder = resolve(now["embedder"] or BUNDLED_EMBEDDER, home)
    return open_index(store.path(store.get(now["artifact_id"])), embedder.path, embedder.checksum)
