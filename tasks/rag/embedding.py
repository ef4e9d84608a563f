"""Texts to unit vectors: tokenised once, in batches of like length counted in tokens, by the model that sentence-transformers loads.

Two backends: `torch` in fp32, and `onnx-int8`, the same model exported and quantized once, faster on a CPU at a small loss of cosine
that is measured at the export. Vectors of one are not mixed with those of the other: `fingerprint` tells them apart.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from threadpoolctl import ThreadpoolController
from tokenizers import Tokenizer

from storage.files import sha256_of
from tasks.errors import MigakiError
from tasks.models.folders import refuse_unsafe
from tasks.models.packed import pack_linear
from tasks.rag.unit_vectors import UnitVectors, traced

EmbedderBackend = Literal["torch", "onnx-int8"]
BATCH_TOKENS = 4096
WINDOW = 16384  # texts tokenised at once: their tokens are all in memory
SMALL = 128  # tokens of a batch that one thread computes: reading the weights takes longest, and threads would wait for each other


class Embedder:
    """A sentence-transformers model with its own tokenizer as the measure of length. Several threads may use one embedder.

    Args:
        path: the model's folder.
        backend: "torch", or "onnx-int8", which runs on the CPU.
        checksum: of the model's files; worked out when not given.
        cache: folder that keeps the export of onnx-int8 (default: beside the model).
        threads: of one call to `embed`; 0 takes as many as PyTorch does, which OMP_NUM_THREADS sets. A question or two take one.

    Raises:
        MigakiError: no such backend, the folder holds code of its own or pickled weights, the model's tokenizer is not a fast one, or the model does not say how long its vectors and texts are.
    """

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        backend: EmbedderBackend = "torch",
        checksum: str = "",
        cache: Path | None = None,
        threads: int = 0,
    ):
        if backend not in get_args(EmbedderBackend):
            raise MigakiError(f"{backend!r} is no backend of the embedder; accepted: {', '.join(get_args(EmbedderBackend))}")
        self.path, self.backend, self.threads = Path(path), backend, threads
        self._checksum = checksum
        refuse_unsafe(self.path)
        place = "cpu" if backend == "onnx-int8" else device
        model = SentenceTransformer(
            str(path), device=place, trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
        ).eval()
        dimension, limit = model.get_embedding_dimension(), model.max_seq_length
        if dimension is None or limit is None:
            raise MigakiError(f"the embedder in {str(path)!r} does not say how long its vectors are, or the texts that it reads")
        self.dimension, self.limit = dimension, limit
        self._prefix = model.prompts.get(model.default_prompt_name or "") or ""
        self._tokenizer, self._pad = _own_tokenizer(model, self.limit), model.tokenizer.pad_token_id or 0
        self._counter = Tokenizer.from_str(self._tokenizer.to_str())
        self._counter.no_truncation()
        self.export_facts: dict[str, float] = {}  # of onnx-int8: its cosine with fp32, mean and least per language
        self._pools = ThreadpoolController()
        self._run = self._quantized(model, cache) if backend == "onnx-int8" else _torch_runner(model)

    def _quantized(self, model: SentenceTransformer, cache: Path | None) -> "Callable[[np.ndarray, np.ndarray], np.ndarray]":
        # Here, since onnxruntime takes a third of a second to import, and this backend alone needs it.
        from tasks.rag.onnx_export import Int8Model, export_int8

        folder = export_int8(model, self.checksum, cache or self.path.parent / "onnx-int8", self._encode)
        quantized = Int8Model(folder, self.threads or torch.get_num_threads())
        self.export_facts = quantized.facts
        return quantized.run

    @property
    def checksum(self) -> str:
        """SHA-256 over the names and contents of the model's files, unless the caller gave another."""
        self._checksum = self._checksum or _digest(self.path)
        return self._checksum

    @cached_property
    def fingerprint(self) -> str:
        """What a vector depends on beside its text: the model, the length limit, the backend."""
        return hashlib.sha256(f"{self.checksum}|{self.limit}|{self._prefix}|{self.backend}".encode()).hexdigest()

    def count_tokens(self, text: str) -> int:
        """Tokens of a text without the special ones."""
        return len(self._counter.encode(text, add_special_tokens=False))

    def count_all(self, texts: list[str]) -> list[int]:
        """Tokens of each text without the special ones; much faster than one call each."""
        return [len(encoding) for encoding in self._counter.encode_batch_fast(texts, add_special_tokens=False)]

    def embed(self, texts: list[str], batch_tokens: int = BATCH_TOKENS, on_batch: Callable[[int], object] | None = None) -> np.ndarray:
        """(texts, dimension) unit vectors, in the texts' order; `on_batch` is told how many each batch had."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), WINDOW):
            encoded = self._encode(texts[start : start + WINDOW])
            for batch in batches([len(ids) for ids in encoded], batch_tokens):
                ids, mask = padded([encoded[i] for i in batch], self._pad)
                # OpenMP's limit holds for the calling thread alone; torch.set_num_threads would set that of every thread.
                with self._pools.limit(limits=1 if ids.size <= SMALL else self.threads or None, user_api="openmp"):
                    vectors[start + batch] = self._run(ids, mask)
                if on_batch:
                    on_batch(len(batch))
        return vectors

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids with the special ones, cut at the model's limit."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast([self._prefix + text for text in texts])]


def batches(lengths: list[int], batch_tokens: int) -> Iterator[np.ndarray]:
    """Numbers of texts, longest first, as many at once as make up to `batch_tokens` tokens with the padding."""
    order = np.argsort(-np.array(lengths, dtype=np.int64), kind="stable")
    while len(order):
        size = max(1, batch_tokens // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def padded(rows: list[list[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, longest) token ids and the mask that is 1 where they are not padding."""
    width = max(map(len, rows))
    ids, mask = np.full((len(rows), width), pad, dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


def _torch_runner(model: SentenceTransformer) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The model on token ids and mask, without tokenising again."""
    device = model.device
    pack_linear(model)
    graph = UnitVectors(model).eval()
    quick = traced(graph) if device.type == "cpu" else graph

    @torch.inference_mode()
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        embed = quick if ids.size <= SMALL else graph
        return embed(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)).cpu().numpy()

    return run


def _own_tokenizer(model: SentenceTransformer, limit: int) -> Tokenizer:
    """A copy of the tokenizer that cuts at the limit. transformers sets the limits of the shared one at each call, so threads would change them for each other."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise MigakiError(
            f"the embedder's tokenizer ({type(model.tokenizer).__name__}) is not a fast one: take a model with a tokenizer.json"
        )
    own = Tokenizer.from_str(backend.to_str())
    own.no_padding()
    own.enable_truncation(limit)
    return own


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()
