"""Texts to unit vectors: tokenised once, in batches of like length counted in tokens, by the model that sentence-transformers loads.

Three backends: `torch` in fp32; `torch-bf16`, the same in bfloat16, for processors that multiply it; and `onnx-int8`, the model exported and
quantized once, for a CPU that does not, at a small loss of cosine that is measured at the export. Vectors of one are not mixed with those of
another: `fingerprint` tells them apart. A large word table is held in 4 or 8 bits a value (`tasks.models.word_table`), and of a large
vocabulary the pieces that texts need (`tasks.rag.tokens`).
"""

import gc
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from threadpoolctl import ThreadpoolController

from storage.files import sha256_of
from tasks.errors import MigakiError
from tasks.models.folders import refuse_unsafe
from tasks.models.packed import multiplies_bfloat16, pack_linear
from tasks.models.word_table import cast, stored_dtype
from tasks.processes import give_back_memory
from tasks.rag.embedders import prompts_of
from tasks.rag.tokens import TextTokens, large_vocabulary, without_pieces
from tasks.rag.unit_vectors import UnitVectors, quiet, traced
from tasks.text.language import languages

EmbedderBackend = Literal["auto", "torch", "torch-bf16", "onnx-int8"]
BATCH_TOKENS = 4096
WINDOW = 16384  # texts tokenised at once: their tokens are all in memory
SMALL = 128  # tokens of a batch that one thread computes: reading the weights takes longest, and threads would wait for each other


def backend_for(backend: str, device: str) -> str:
    """The backend that `auto` stands for on a device: torch-bf16 where it multiplies bfloat16, else torch."""
    if backend != "auto":
        return backend
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if device.startswith("cuda") else multiplies_bfloat16()
    return "torch-bf16" if fast else "torch"


class Embedder:
    """A sentence-transformers model with its own tokenizer as the measure of length. Several threads may use one embedder.

    Args:
        path: the model's folder.
        backend: "torch", "torch-bf16", "onnx-int8", which runs on the CPU, or "auto": see `backend_for`.
        checksum: of the model's files; worked out when not given.
        cache: folder that keeps the export of onnx-int8 (default: beside the model).
        threads: of one call to `embed`; 0 takes as many as PyTorch does, which OMP_NUM_THREADS sets. A question or two take one.
        reference: that named the model, by which the prefixes of some are known; its folder's name where none is given.
        query_prefix: before every question; None takes the model's own.
        passage_prefix: before every other text; None takes the model's own.

    Raises:
        MigakiError: no such backend, the folder holds code of its own or pickled weights, the model's tokenizer is not a fast one, the model
            does not say how long its vectors and texts are, or its prefixes leave no room for a text.
    """

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        backend: str = "torch",
        checksum: str = "",
        cache: Path | None = None,
        threads: int = 0,
        reference: str = "",
        query_prefix: str | None = None,
        passage_prefix: str | None = None,
    ):
        if backend not in get_args(EmbedderBackend):
            raise MigakiError(f"{backend!r} is no backend of the embedder; accepted: {', '.join(get_args(EmbedderBackend))}")
        self.path, self.backend, self.threads = Path(path), backend_for(backend, device), threads
        self.reference = reference or self.path.name
        self._checksum = checksum
        refuse_unsafe(self.path)
        model, self._tokens = self._opened("cpu" if self.backend == "onnx-int8" else device)
        dimension, limit = model.get_embedding_dimension(), model.max_seq_length
        if dimension is None or limit is None:
            raise MigakiError(f"the embedder in {str(path)!r} does not say how long its vectors are, or the texts that it reads")
        self.dimension, self.limit = dimension, limit
        default = model.prompts.get(model.default_prompt_name or "")
        own = {"query": default, "document": default} if default else model.prompts
        self.prompts = prompts_of(own, self.reference, query_prefix, passage_prefix)
        if min(self.room, self.query_room) < 1:
            raise MigakiError(f"the prefixes {self.prompts} leave no room in the {limit} tokens that the embedder in {str(path)!r} reads")
        self._pad = self._tokens.number_of(model.tokenizer.pad_token_id or 0)
        self.export_facts: dict[str, float] = {}  # of onnx-int8: its cosine with fp32, mean and least per language
        self._unrelated: dict[str, float] = {}  # by language
        self._pools = ThreadpoolController()
        self._run = self._quantized(model, cache) if self.backend == "onnx-int8" else _torch_runner(model)
        del model
        gc.collect()  # modules refer to each other in circles
        give_back_memory()

    def _opened(self, device: str) -> tuple[SentenceTransformer, TextTokens]:
        """The model in the backend's numbers, and its tokenizer."""
        pieces = large_vocabulary(self.path)
        # In the numbers of its file: a table of 250,000 rows would take 384 MB in float32 before it is packed.
        options = {"use_safetensors": True, "dtype": stored_dtype(self.path)}
        with without_pieces(self.path, pieces) as place, quiet():
            model = SentenceTransformer(
                str(place), device=device, trust_remote_code=False, local_files_only=True, model_kwargs=options
            ).eval()
        tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
        if tokenizer is None:
            raise MigakiError(
                f"the embedder's tokenizer ({type(model.tokenizer).__name__}) is not a fast one: take a model with a tokenizer.json"
            )
        cast(model, torch.bfloat16 if self.backend == "torch-bf16" else torch.float32)
        return model, TextTokens(tokenizer, pieces)

    def _quantized(self, model: SentenceTransformer, cache: Path | None) -> "Callable[[np.ndarray, np.ndarray], np.ndarray]":
        # Here, since onnxruntime takes a third of a second to import, and this backend alone needs it.
        from tasks.rag.onnx_export import Int8Model, export_int8

        folder = export_int8(
            model, self.checksum, cache or self.path.parent / "onnx-int8", lambda texts: self._encode(texts, self.prompts.passage)
        )
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
        """What a vector depends on beside its text: the model, the length limit, the prefixes, the backend."""
        query, passage = self.prompts.query, self.prompts.passage
        prefix = query if query == passage else json.dumps([query, passage])
        return hashlib.sha256(f"{self.checksum}|{self.limit}|{prefix}|{self.backend}".encode()).hexdigest()

    @cached_property
    def room(self) -> int:
        """Tokens of a text, without the special ones, that are read whole behind the prefix of passages."""
        return self.limit - self._tokens.special - self.count_tokens(self.prompts.passage)

    @cached_property
    def query_room(self) -> int:
        """Tokens of a question, without the special ones, that are read whole behind its prefix."""
        return self.limit - self._tokens.special - self.count_tokens(self.prompts.query)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text without prefix and special ones."""
        return self.count_all([text])[0]

    def count_all(self, texts: list[str]) -> list[int]:
        """Tokens of each text without prefix and special ones; much faster than one call each."""
        return self._tokens.count_all(texts)

    def embed_queries(
        self, texts: list[str], batch_tokens: int = BATCH_TOKENS, on_batch: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """(texts, dimension) unit vectors of questions, in their order; `on_batch` is told how many each batch had."""
        return self._embed(texts, self.prompts.query, batch_tokens, on_batch)

    def embed(self, texts: list[str], batch_tokens: int = BATCH_TOKENS, on_batch: Callable[[int], object] | None = None) -> np.ndarray:
        """(texts, dimension) unit vectors of passages, in the texts' order; `on_batch` is told how many each batch had."""
        return self._embed(texts, self.prompts.passage, batch_tokens, on_batch)

    def unrelated(self, lang: str) -> float:
        """Mean cosine of questions in a language with passages that have nothing to do with them, over the language's sample."""
        if lang not in self._unrelated:
            texts = list(languages()[lang].SAMPLE)
            cosines = self.embed_queries(texts) @ self.embed(texts).T
            self._unrelated[lang] = float(cosines[~np.eye(len(texts), dtype=bool)].mean())
        return self._unrelated[lang]

    def _embed(self, texts: list[str], prefix: str, batch_tokens: int, on_batch: Callable[[int], object] | None) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            whole = self._tokens.encode_all([prefix + text for text in window])
            encoded = self._tokens.fitted(whole, self.limit)
            for batch in batches([len(ids) for ids in encoded], batch_tokens):
                ids, mask = padded([encoded[i] for i in batch], self._pad)
                # OpenMP's limit holds for the calling thread alone; torch.set_num_threads would set that of every thread.
                with self._pools.limit(limits=1 if ids.size <= SMALL else self.threads or None, user_api="openmp"):
                    vectors[start + batch] = self._run(ids, mask)
                if on_batch:
                    on_batch(len(batch))
            if longer := {i: halves for i, ids in enumerate(whole) if len(ids) > self.limit and len(halves := _halves(window[i])) == 2}:
                vectors[[start + i for i in longer]] = self._in_parts(list(longer.values()), prefix, batch_tokens)
        return vectors

    def _in_parts(self, halves: list[list[str]], prefix: str, batch_tokens: int) -> np.ndarray:
        """The vectors of texts that are longer than the model reads: the mean of their two halves', by their lengths, so that nothing is left out."""
        parts = [half for both in halves for half in both]
        weighted = self._embed(parts, prefix, batch_tokens, None) * np.array([[len(part)] for part in parts], np.float32)
        total = weighted[::2] + weighted[1::2]
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    def _encode(self, texts: list[str], prefix: str) -> list[list[int]]:
        """Token ids with the special ones, cut at the model's limit."""
        return self._tokens.encode_all([prefix + text for text in texts], self.limit)


def _halves(text: str) -> list[str]:
    """The two halves of a text, between words where it has any there; fewer where nothing would be left in one."""
    middle = text.rfind(" ", len(text) // 4, len(text) // 2) + 1 or len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half.strip()]


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


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()
