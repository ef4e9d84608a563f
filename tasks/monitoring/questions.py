"""Questions as vectors."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tasks.monitoring.grouping import Embedded
from tasks.text.language import languages


class Embedder(Protocol):
    """What is needed of one."""

    def embed_queries(self, texts: list[str]) -> np.ndarray: ...


def embedded(embedders: Sequence[Embedder], lang: str, texts: list[str]) -> list[Embedded]:
    """Questions of one language by several embedders, each with what it makes of questions of the language's sample, which have nothing to do with each
    other."""
    sample = list(languages()[lang].SAMPLE) if lang in languages() else []
    found = []
    for embedder in embedders:
        others = embedder.embed_queries(sample) if sample else np.zeros((0, 1))
        cosines = (others @ others.T)[~np.eye(len(others), dtype=bool)]
        found.append(Embedded(embedder.embed_queries(texts), float(cosines.mean()) if len(cosines) else 0.0))
    return found
