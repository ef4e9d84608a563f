"""Indexes of a few texts, by embedders that need no model."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tasks.rag.embedders import Prompts
from tasks.rag.index_files import write_index
from tasks.rag.retrieval import Retriever
from tasks.rag.sentence_vectors import quantized
from tasks.rag.settings import IndexSettings
from tasks.rag.vectors import identity, vectors_of
from tasks.text.detection import detect
from tasks.text.sentences import sentence_places


class Characters:
    """An embedder to which texts are alike that have the same characters; what it was given is in `passages` and `questions`."""

    backend, prompts = "torch", Prompts()

    def __init__(self, name: str = "characters", dimension: int = 24):
        self.checksum = self.reference = self.fingerprint = name
        self.dimension = dimension
        self.passages: list[str] = []
        self.questions: list[str] = []
        self._direction = lru_cache(None)(self._drawn)

    def embed(self, texts: list[str], *_: object) -> np.ndarray:
        self.passages += texts
        return self._vectors(texts)

    def embed_queries(self, texts: list[str], *_: object) -> np.ndarray:
        self.questions += texts
        return self._vectors(texts)

    def unrelated(self, lang: str) -> float:
        return 0.0

    def _drawn(self, character: str) -> np.ndarray:
        seed = int.from_bytes(sha256(f"{self.reference}{character}".encode()).digest()[:8], "little")
        return np.random.default_rng(seed).standard_normal(self.dimension)

    def _vectors(self, texts: list[str]) -> np.ndarray:
        sums = [sum((self._direction(character) for character in text), self._direction("")) for text in texts]
        rows = np.array(sums, np.float32).reshape(len(texts), self.dimension)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def chunk(text: str, document: str, heading: str = "", **more: Any) -> dict[str, Any]:
    """A row of a chunk as the stage makes it."""
    places = [place for ends in sentence_places(text) for place in ends] or [0, len(text)]
    indexed = f"{heading}\n{text}" if heading else text
    row = {"chunk_id": document, "document": document, "title": document, "heading": heading, "text": text, "indexed": indexed}
    return row | {"lang": detect(text), "places": places} | more


def write(folder: Path, chunks: list[dict[str, Any]], embedder: Any, companions: Mapping[str, Any], settings: IndexSettings) -> None:
    """Write the index of chunks, as the stage does."""
    folder.mkdir(exist_ok=True, parents=True)
    vectors = vectors_of(chunks, embedder, companions, lambda own, texts: quantized(own.embed(texts)))
    write_index(folder, chunks, vectors, settings, identity(embedder))


def opened(
    folder: Path, chunks: list[dict[str, Any]], embedder: Any = None, companions: Mapping[str, Any] = {}, **settings: Any
) -> Retriever:
    """The index of chunks, written and opened."""
    embedder = embedder or Characters()
    write(folder, chunks, embedder, companions, IndexSettings(**settings))
    return Retriever(folder, embedder, companions)
