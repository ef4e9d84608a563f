"""Batched sampling with a key-value cache, for rollouts and evaluation.

Prompts are sorted by length and padded on the left under an explicit mask; rows that have ended leave the batch; every row draws from a
generator of its own, so what it says does not depend on its neighbours beyond floating-point noise. transformers' `generate` keeps ended
rows in the batch to the last and draws for all rows from one generator; it serves chat, where there is one row and more ways to decode.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tasks.errors import MigakiError
from tasks.inference.kv_cache import preallocated_cache
from tasks.inference.logits import penalise, truncate
from tasks.models.families import context_length
from tasks.models.trunk import causal_lm, decoder, layers_of, lm_head, position_ids


@dataclass
class Answer:
    """A sampled answer: its token ids (the end token included when there is one), their log-probabilities (nats), and whether it ended by itself.

    `states` (T, H), where asked for, are those of prompt and answer that entered a layer.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False
    states: Tensor | None = None


def left_pad(prompts: Sequence[Sequence[int]], device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
    """(ids, mask), both (B, T), with the padding on the left."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def sample_tokens(
    logits: Tensor, temperature: float, top_k: int, top_p: float, min_p: float, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """One token for each row of logits (B, V), and its log-probability under softmax(logits / temperature). Temperature 0 takes the likeliest."""
    logprobs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
    if temperature == 0:
        tokens = logits.argmax(-1)
    else:
        tokens = _draw(truncate(logprobs, top_k, top_p, min_p).exp(), generators)
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


def _draw(weights: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """One index for each row of weights (B, V), by inverting the cumulative distribution: one random number a row, not one a token.

    In double precision: in single, the sum over a large vocabulary would shift rare tokens.
    """
    cumulative = weights.double().cumsum(-1)
    drawn = torch.cat([torch.rand(1, dtype=torch.float64, generator=generator) for generator in generators]).to(weights.device)
    return torch.searchsorted(cumulative, drawn[:, None] * cumulative[:, -1:], right=True)[:, 0]


@dataclass(frozen=True)
class SamplingParams:
    """How answers are sampled; each draws by the `seed` and its index among the prompts. Temperature 0 takes the likeliest tokens.

    With a penalty the log-probabilities of an `Answer` are those of what it leaves.
    """

    max_new_tokens: int
    end_ids: set[int]  # tokens that end an answer
    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    seed: int = 0


@torch.no_grad()
def sample(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams,
    *,
    batch: int = 16,
    states_at: int | None = None,
    indices: Sequence[int] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> list[Answer]:
    """Sample an answer to each prompt, in the prompts' order.

    Args:
        states_at: a layer; the states that enter it are kept.
        indices: what each prompt draws by beside the seed: its place among those of all processes, if not among these.

    Raises:
        MigakiError: a prompt leaves no room for an answer in the model's context.
    """
    limit = context_length(causal_lm(model).config)
    longest = max((len(prompt) for prompt in prompts), default=0)
    if limit and longest + params.max_new_tokens > limit:
        raise MigakiError(
            f"a prompt of {longest} tokens and {params.max_new_tokens} new ones do not fit the model's context of {limit}: shorten the prompt or max_new_tokens"
        )
    answers = [Answer() for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    indices = range(len(prompts)) if indices is None else indices
    generators = [torch.Generator().manual_seed(params.seed * 1_000_003 + index) for index in indices]
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        _sample_batch(model, prompts, rows, answers, params, generators, states_at)
        if on_progress:
            on_progress(len(rows))
    return answers


def _sample_batch(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    rows: list[int],
    answers: list[Answer],
    params: SamplingParams,
    generators: list[torch.Generator],
    states_at: int | None,
) -> None:
    """Fill the answers of these rows."""
    head = lm_head(model)
    with _ActiveRows(model, rows, [prompts[row] for row in rows], params.max_new_tokens, states_at) as active:
        for step in range(params.max_new_tokens):
            logits = head(active.final)
            if params.repetition_penalty != 1.0 or params.no_repeat_ngram:
                for row, line in zip(active.rows, logits, strict=True):
                    penalise(line, answers[row].ids, params.repetition_penalty, params.no_repeat_ngram)
            own = [generators[row] for row in active.rows]
            tokens, logprobs = sample_tokens(logits, params.temperature, params.top_k, params.top_p, params.min_p, own)
            alive = []
            for i, (row, token, logprob) in enumerate(zip(active.rows, tokens.tolist(), logprobs.tolist(), strict=True)):
                answers[row].ids.append(token)
                answers[row].logprobs.append(logprob)
                answers[row].finished = token in params.end_ids
                if not answers[row].finished:
                    alive.append(i)
            if states_at is not None:  # the last token has states too
                active.feed(tokens)
            if not alive or step == params.max_new_tokens - 1:
                break
            tokens = active.keep(alive, tokens)
            if states_at is None:
                active.feed(tokens)
    for row, parts in active.states.items():
        answers[row].states = torch.cat(parts)


@torch.no_grad()
def forced_logits(model: nn.Module, rows: Sequence[Sequence[int]], drawn: int) -> Tensor:
    """(B, `drawn` + 1, V) logits that sampling would draw by, were the last `drawn` tokens of each row those that it had drawn.

    The first come of the prompts, read at once and padded on the left; each of the others of one more token and the cache.
    """
    head, logits = lm_head(model), []
    prompts: list[Sequence[int]] = [row[:-drawn] for row in rows]
    with _ActiveRows(model, list(range(len(rows))), prompts, drawn, None) as active:
        logits.append(head(active.final))
        for step in range(drawn):
            active.feed(torch.tensor([row[len(row) - drawn + step] for row in rows], device=active.mask.device))
            logits.append(head(active.final))
    return torch.stack(logits, dim=1)


class _ActiveRows:
    """Rows that are decoded together: their cache, and the final states (B, H) their next tokens come from. A prompt that several rows share
    passes the model once."""

    def __init__(self, model: nn.Module, rows: list[int], prompts: list[Sequence[int]], room: int, states_at: int | None):
        self.body, self.rows = decoder(model), list(rows)
        self.cache = preallocated_cache(model, room)
        self.layer = None if states_at is None else layers_of(model)[states_at]
        self.hook: RemovableHandle | None = None
        self.states: dict[int, list[Tensor]] = {}
        index = {tuple(prompt): i for i, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        # Of each row, which of the different prompts is its own; None once every row has a line of the cache.
        self.shared: list[int] | None = [index[tuple(prompt)] for prompt in prompts]
        self.ids, self.mask = left_pad(list(index), next(model.parameters()).device)

    def __enter__(self) -> Self:
        if self.layer is not None:
            self.hook = self.layer.register_forward_pre_hook(self._keep_states, with_kwargs=True)
        self._forward(self.ids, position_ids(self.mask))
        if self.shared and len(self.ids) < len(self.rows):
            self._pick(torch.tensor(self.shared, device=self.mask.device))
        self.shared = None
        self.positions = self.mask.sum(-1, keepdim=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.hook:
            self.hook.remove()

    def _keep_states(self, _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        entering = arguments[0] if arguments else named["hidden_states"]
        masks = self.mask[:, -entering.shape[1] :].bool()
        for place, row in enumerate(self.rows):
            i = place if self.shared is None else self.shared[place]
            self.states.setdefault(row, []).append(entering[i][masks[i]])

    def _forward(self, ids: Tensor, positions: Tensor) -> None:
        self.final = self.body(
            input_ids=ids, attention_mask=self.mask, position_ids=positions, past_key_values=self.cache, use_cache=True
        ).last_hidden_state[:, -1]

    def feed(self, tokens: Tensor) -> None:
        """Append one token (B,) to each row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self._forward(tokens[:, None], self.positions)
        self.positions = self.positions + 1

    def keep(self, alive: list[int], tokens: Tensor) -> Tensor:
        """Drop all rows but those; returns their part of `tokens` (B,)."""
        if len(alive) == len(self.rows):
            return tokens
        chosen = torch.tensor(alive, device=tokens.device)
        self._pick(chosen)
        self.positions = self.positions[chosen]
        self.rows = [self.rows[i] for i in alive]
        return tokens[chosen]

    def _pick(self, chosen: Tensor) -> None:
        self.cache.batch_select_indices(chosen)
        self.mask, self.final = self.mask[chosen], self.final[chosen]
