"""A tiny embedder, opened."""

import pytest

from tasks.rag.embedding import Embedder


@pytest.fixture(scope="session")
def embedder(embedder_folder) -> Embedder:
    return Embedder(embedder_folder)
