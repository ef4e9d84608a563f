"""Whether a model can be batched, found out by trying: architectures that nobody here has heard of are loaded too."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tasks.inference.backend import Sampling
from tasks.inference.batching import BatchLimits, ContinuousBatch
from tasks.inference.kv_cache import ATTENTION_KINDS
from tasks.inference.rows import Row
from tasks.models.families import attention_kinds
from tasks.models.trunk import causal_lm

TOLERANCE, LOW_PRECISION_TOLERANCE = 0.001, 0.05  # relative difference of logits that rounding explains, in float32 and below


@torch.no_grad()
def can_batch(model: PreTrainedModel) -> bool:
    """Whether rows of different lengths, read in parts, get the logits that each gets alone: not where a model keeps a cache of its own kind."""
    if not attention_kinds(causal_lm(model).config) <= ATTENTION_KINDS:
        return False
    batch, recorders = ContinuousBatch(model, BatchLimits(chunk=8, kept_tokens=0)), [_LogitsRecorder() for _ in range(3)]
    probes = [_probe(length, recorder) for length, recorder in zip((5, 19, 11), recorders, strict=True)]
    rows = list(probes)
    try:
        while rows or batch.rows:
            if rows and batch.has_room(rows[-1]):
                batch.join(rows.pop())
            for row in {row for row, _ in batch.step() if row.reason}:
                batch.leave(row)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return False
    exact = all(weight.dtype == torch.float32 for weight in chain(model.parameters(), model.buffers()) if weight.is_floating_point())
    limit = TOLERANCE if exact else LOW_PRECISION_TOLERANCE
    return all(
        _difference(logits, _unbatched_logits(model, row.prompt + row.answer[:i])) < limit
        for row, recorder in zip(probes, recorders, strict=True)
        for i, logits in enumerate(recorder.seen)
    )


class _LogitsRecorder:
    """In a grammar's place: allows everything, and notes the logits that its row is given."""

    answer: Sequence[int] = ()
    whole = False

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, answer: Sequence[int], logits: Tensor) -> None:
        self.seen.append(logits.clone())

    def add(self, tokens: Sequence[int]) -> None:
        pass

    def forced(self) -> list[int]:
        return []


def _probe(length: int, recorder: _LogitsRecorder) -> Row:
    ids = [1 + (7 * i + length) % 50 for i in range(length)]
    return Row(ids, Sampling(temperature=0.0, no_repeat_ngram=0), 3, set(), recorder)


def _unbatched_logits(model: PreTrainedModel, ids: list[int]) -> Tensor:
    logits: Tensor = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1].float()
    return logits


def _difference(left: Tensor, right: Tensor) -> float:
    return float((left - right).norm() / right.norm())
