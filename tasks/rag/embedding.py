"""Texts to unit vectors with sentence-transformers, in batches of like length counted in tokens."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer


class Embedder:
    """A sentence-transformers model with its own tokenizer as the measure of length."""

    def __init__(self, path: Path, device: str = "cpu"):
        self.model = SentenceTransformer(str(path), device=device)
        self.dimension = self.model.get_embedding_dimension()
        self.limit = self.model.max_seq_length

    def count_tokens(self, text: str) -> int:
        """Tokens of a text without the special ones."""
        return len(self.model.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])

    def embed(self, texts: list[str], batch_tokens: int = 4096, on_batch: Callable[[int], object] | None = None) -> np.ndarray:
        """(texts, dimension) unit vectors, in the texts' order."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        lengths = [min(self.limit, len(ids)) for ids in self.model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])
        while order:
            size = max(1, batch_tokens // max(1, lengths[order[0]]))
            batch, order = order[:size], order[size:]
            vectors[batch] = self.model.encode(
                [texts[i] for i in batch], batch_size=size, normalize_embeddings=True, show_progress_bar=False
            )
            if on_batch:
                on_batch(len(batch))
        return vectors
