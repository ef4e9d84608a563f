"""Chat with the champion in the terminal."""

from typing import Any

from flows.params import BUNDLED_EMBEDDER, BUNDLED_MODEL
from storage import ArtifactStore, Home
from storage.artifacts import read_manifest
from storage.registry import champion, champion_index
from tasks.errors import MigakiError


def chat_in_terminal(home: Home, artifact: str | None) -> dict[str, Any]:
    raise MigakiError("not yet")
