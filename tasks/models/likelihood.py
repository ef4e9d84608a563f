"""Log-likelihood of answers under a causal language model: the one measure behind every loss that Migaki reports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tasks.models.batching import Batch, Example, by_length, collate
from tasks.models.head import Head, head_of
from tasks.models.linear import PLAIN, applied, product
from tasks.models.trunk import TopModel, causal_lm, decoder, hidden_size, lm_head, position_ids, trunk_states

PART = 128  # rows of logits at a time: each is as wide as the vocabulary
FinalStates = Callable[[Batch], Tensor]  # (B, T, H) after the last norm


def whole_model(model: nn.Module) -> FinalStates:
    """Final states from all layers."""
    body = decoder(model)

    def final_states(batch: Batch) -> Tensor:
        states: Tensor = body(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=position_ids(batch.mask), use_cache=False
        ).last_hidden_state
        return states

    return final_states


class CachedTrunk:
    """Final states from the layers above `k`, with what enters them computed once per example and kept (float32, while it fits the limit)."""

    def __init__(self, model: nn.Module, k: int, examples: Sequence[Example], limit_bytes: int = 1 << 30):
        self.model, self.k, self.top = model, k, TopModel(model, k)
        self.kept: dict[int, Tensor] = {}
        self.keeps = 4 * hidden_size(model) * sum(len(example.ids) for example in examples) <= limit_bytes

    def __call__(self, batch: Batch) -> Tensor:
        states: Tensor = self.top(self.states(batch), batch.mask)
        return states

    def states(self, batch: Batch) -> Tensor:
        """(B, T, H) states that enter layer `k`, zero where there is padding."""
        missing = [i for i, row in enumerate(batch.rows) if row not in self.kept]
        if not self.keeps:
            return trunk_states(self.model, batch.ids, batch.mask, self.k)
        lengths = batch.mask.sum(-1).tolist()
        if missing:
            computed = trunk_states(self.model, batch.ids[missing], batch.mask[missing], self.k)
            for i, states in zip(missing, computed, strict=True):
                self.kept[batch.rows[i]] = states[: lengths[i]].clone()
        return nn.utils.rnn.pad_sequence([self.kept[row] for row in batch.rows], batch_first=True)


class _FrozenHeadLogprobs(torch.autograd.Function):
    """Log-probabilities of targets under a frozen head, with their gradient computed on the way.

    Each depends on its own row of states alone, d log p(target) / d state = s(target) W[target] - sum_v p(v) s(v) W[v] with the slope s of
    logits by what the output embeddings gave, so that no row of logits outlives its part: no second softmax, and no memory for tokens
    times vocabulary.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, head: Head, temperature: float) -> Tensor:
        # Made before the logits: what is allocated between two of them keeps the memory of the first from the second.
        of_targets, gradients = states.new_empty(len(states), dtype=torch.float32), torch.empty_like(states)
        for first in range(0, len(states), PART):
            part = slice(first, first + PART)
            logits = head(states[part]).float()
            logprobs = _log_softmax(logits, temperature)
            of_targets[part] = logprobs.gather(1, targets[part, None])[:, 0]
            gradients[part] = _gradient(head, logits, logprobs, targets[part]) / temperature
            del logits, logprobs
        ctx.save_for_backward(gradients)
        return of_targets

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (gradient[:, None] * ctx.saved_tensors[0]).to(ctx.saved_tensors[0].dtype), None, None, None


def _gradient(head: Head, logits: Tensor, logprobs: Tensor, wanted: Tensor) -> Tensor:
    """(N, H) gradients of the log-probabilities of tokens (N,) by states, at temperature 1. Changes `logprobs` (N, V)."""
    weight, slope, probabilities = head.weight, head.slope(logits), logprobs.exp_()
    if not isinstance(slope, Tensor):
        return slope * (weight[wanted] - product(probabilities.to(weight.dtype), weight.t()))
    expected = product(probabilities.mul_(slope).to(weight.dtype), weight.t())
    return slope.gather(1, wanted[:, None]).to(weight.dtype) * weight[wanted] - expected


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    return torch.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)


def target_logprobs(head: nn.Module, states: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """(N,) log-probabilities in nats of target tokens (N,), for the states (N, H) that predict them, under softmax(logits / temperature)."""
    head, learns = head_of(head), torch.is_grad_enabled() and len(targets)
    if learns and isinstance(head.linear, nn.Linear) and type(head.linear) in PLAIN and not head.weight.requires_grad:
        return applied(_FrozenHeadLogprobs, states, targets, head, temperature)
    size = len(targets) if learns else PART
    parts = zip(states.split(size), targets.split(size), strict=True)
    return torch.cat([_log_softmax(head(part).float(), temperature).gather(1, wanted[:, None])[:, 0] for part, wanted in parts])


@torch.no_grad()
def target_logprobs_and_entropy(head: nn.Module, states: Tensor, targets: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """What `target_logprobs` gives, and the entropies (N,) of the distributions, nats."""
    of_targets, entropies = [], []
    for part, wanted in zip(states.split(PART), targets.split(PART), strict=True):
        logprobs = _log_softmax(head(part).float(), temperature)
        of_targets.append(logprobs.gather(1, wanted[:, None])[:, 0])
        entropies.append(-(logprobs.exp() * logprobs).sum(-1))
    return torch.cat(of_targets), torch.cat(entropies)


def answer_nll(final_states: FinalStates, head: nn.Module, batch: Batch) -> Tensor:
    """Negative log-likelihood of every answer token, (N,) nats. The head runs on answer positions only."""
    return -target_logprobs(head, final_states(batch)[batch.predicts], batch.targets)


@dataclass(frozen=True)
class Score:
    """What a model thinks of one answer."""

    nll: float  # nats, summed over the answer's tokens
    tokens: int
    characters: int

    @property
    def per_token(self) -> float:
        return self.nll / max(1, self.tokens)

    @property
    def per_character(self) -> float:
        return self.nll / max(1, self.characters)


@torch.no_grad()
def score_examples(
    model: nn.Module,
    examples: Sequence[Example],
    *,
    batch_size: int = 8,
    final_states: FinalStates | None = None,
    on_batch: Callable[[int], object] | None = None,
) -> list[Score]:
    """The score of every example, in their order."""
    final_states = final_states or whole_model(model)
    head, device = lm_head(model), str(causal_lm(model).device)
    scores: dict[int, Score] = {}
    for rows in by_length(examples, batch_size):
        batch = collate(examples, rows, pad_id=0, device=device)
        nll = answer_nll(final_states, head, batch)
        for row, part in zip(rows, nll.split(batch.answer_tokens.tolist()), strict=True):
            scores[row] = Score(float(part.sum()), len(part), examples[row].characters)
        if on_batch:
            on_batch(len(rows))
    return [scores[row] for row in range(len(examples))]


def mean_per_character(scores: Sequence[Score]) -> float:
    """Total loss over total characters: comparable across tokenizers and languages."""
    return sum(score.nll for score in scores) / max(1, sum(score.characters for score in scores))
