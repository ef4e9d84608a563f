"""Log-likelihood of answers under a causal language model: the one measure behind every loss that Migaki reports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.batching import Batch, Example, by_length, collate
from tasks.models.trunk import decoder, lm_head, position_ids, top_model, trunk_states

FinalStates = Callable[[Batch], Tensor]  # (B, T, H) after the last norm


def whole_model(model: nn.Module) -> FinalStates:
    """Final states from all layers."""
    body = decoder(model)
    return lambda batch: (
        body(input_ids=batch.ids, attention_mask=batch.mask, position_ids=position_ids(batch.mask), use_cache=False).last_hidden_state
    )


class CachedTrunk:
    """Final states from the layers above `k`, with what enters them computed once per example and kept (float32, while it fits the limit)."""

    def __init__(self, model: nn.Module, k: int, examples: Sequence[Example], limit_bytes: int = 1 << 30):
        self.model, self.k, self.top = model, k, top_model(model, k)
        width = model.get_input_embeddings().weight.shape[1]
        self.kept: dict[int, Tensor] = {}
        self.keeps = 4 * width * sum(len(example.ids) for example in examples) <= limit_bytes

    def __call__(self, batch: Batch) -> Tensor:
        return self.top(self.states(batch), batch.mask)

    def states(self, batch: Batch) -> Tensor:
        """(B, T, H) states that enter layer `k`, zero where there is padding."""
        missing = [i for i, row in enumerate(batch.rows) if row not in self.kept]
        if not self.keeps:
            return trunk_states(self.model, batch.ids, batch.mask, self.k)
        lengths = batch.mask.sum(-1).tolist()
        if missing:
            found = trunk_states(self.model, batch.ids[missing], batch.mask[missing], self.k)
            for i, states in zip(missing, found, strict=True):
                self.kept[batch.rows[i]] = states[: lengths[i]].clone()
        return nn.utils.rnn.pad_sequence([self.kept[row] for row in batch.rows], batch_first=True)


def answer_nll(final_states: FinalStates, head: nn.Module, batch: Batch) -> Tensor:
    """Negative log-likelihood of every answer token, (N,) nats. The head runs on answer positions only."""
    return F.cross_entropy(head(final_states(batch)[batch.predicts]).float(), batch.targets, reduction="none")


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
    head, device = lm_head(model), str(model.device)
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
