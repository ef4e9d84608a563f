"""A row of a batch: one answer being generated, with settings and a random generator of its own, and how its next token is drawn."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from tasks.inference.backend import Reason, Sampling
from tasks.inference.logits import penalise
from tasks.inference.sampling import sample_tokens


class Grammar(Protocol):
    """What may come next in an answer: `tasks.inference.grammar.JsonGrammar`."""

    @property
    def answer(self) -> Sequence[int]: ...

    @property
    def whole(self) -> bool:
        """Whether nothing can follow."""
        ...

    def __call__(self, answer: Sequence[int], logits: Tensor) -> None:
        """Put -inf into logits (V,) where the next token must not be."""
        ...

    def add(self, tokens: Sequence[int]) -> None:
        """The answer goes on with these tokens."""
        ...

    def forced(self) -> list[int]:
        """Tokens that come next whatever the model says."""
        ...


@dataclass(frozen=True)
class Likelihood:
    """How likely the model itself held a token that was generated, and the likeliest tokens in its place (id, nats), best first."""

    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(eq=False)
class Row:
    """One answer being generated; or, where `scored` is set, the likelihood of the prompt's last so many tokens being computed."""

    prompt: list[int]
    sampling: Sampling
    limit: int  # longest answer in tokens
    ends: set[int]
    grammar: Grammar | None = None
    scored: int = 0
    salt: str = ""  # whose prompt it is: see `tasks.inference.prefix_cache`
    head: int = 0  # tokens at its beginning that hold nobody's text
    logprob: float = 0.0  # nats, of the scored tokens
    likelihood: Likelihood | None = None  # of the token given last, where `sampling.logprobs` asks for it
    answer: list[int] = field(default_factory=list)
    reason: Reason | None = None
    cached: int = 0  # tokens whose keys and values are in the cache
    reused: int = 0  # of these, those that were computed for another row
    joined: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.generator = torch.Generator()
        if self.sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(self.sampling.seed)

    @property
    def uncached(self) -> int:
        """Tokens of prompt and answer that have not passed the model; one, when the row goes on with the token it was given last."""
        return len(self.prompt) + len(self.answer) - self.cached

    @property
    def decodes(self) -> bool:
        """Whether all but the last token is in the cache, so that the next pass gives another one; else it prefills."""
        return self.uncached == 1 and not self.scored

    def ids(self, stop: int) -> list[int]:
        """Tokens of prompt and answer, from the first that is not in the cache to before `stop`."""
        start, prompt = self.cached, len(self.prompt)
        return [*self.prompt[start:stop], *self.answer[max(0, start - prompt) : max(0, stop - prompt)]]

    @property
    def scored_from(self) -> int:
        """Tokens of the prompt before those that are scored: all of them where none is."""
        return len(self.prompt) - self.scored

    def add(self, token: int) -> None:
        """Append a token to the answer, and end the row where that ends it."""
        self.answer.append(token)
        if self.grammar:
            self.grammar.add([token])
            forced = self.grammar.forced()
            self.grammar.add(forced)
            self.answer += forced
        if token in self.ends or (self.grammar and self.grammar.whole):
            self.reason = "stop"
        elif len(self.answer) >= self.limit:
            self.reason = "length"


def next_tokens(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """A token for each row of logits (B, V), drawn as that row says, with its likelihood where the row wants it. Changes `logits`."""
    told = {i: torch.log_softmax(logits[i].float(), -1) for i, row in enumerate(rows) if row.sampling.logprobs is not None}
    for row, line in zip(rows, logits, strict=True):
        penalise(line, row.answer, row.sampling.repetition_penalty, row.sampling.no_repeat_ngram)
        if row.grammar:
            row.grammar(row.grammar.answer, line)
    tokens: list[int] = [0] * len(rows)
    groups: dict[tuple[float, int, float, float], list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((row.sampling.temperature, row.sampling.top_k, row.sampling.top_p, row.sampling.min_p), []).append(i)
    for (temperature, top_k, top_p, min_p), members in groups.items():
        part, generators = logits[members], [rows[i].generator for i in members]
        if temperature and top_k:  # the likeliest first: to sort a few instead of the whole vocabulary
            part, index = part.topk(min(top_k, part.shape[-1]), dim=-1)
            drawn = index.gather(1, sample_tokens(part, temperature, 0, top_p, min_p, generators)[0][:, None])[:, 0]
        else:
            drawn = sample_tokens(part, temperature, top_k, top_p, min_p, generators)[0]
        for i, token in zip(members, drawn.tolist(), strict=True):
            tokens[i] = token
    for i, logprobs in told.items():
        rows[i].likelihood = _likelihood(logprobs, tokens[i], rows[i].sampling.logprobs or 0)
    return tokens


def _likelihood(logprobs: Tensor, token: int, top: int) -> Likelihood:
    likeliest = logprobs.topk(min(top, len(logprobs)))
    return Likelihood(float(logprobs[token]), tuple(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)))


def scored_logprob(row: Row, take: int, logits: Tensor) -> float:
    """Log-probability of those scored tokens that the last logits (N, V) predict, when `take` tokens of the row pass the model."""
    first = max(row.scored_from, row.cached + 1)
    targets = torch.tensor(row.prompt[first : row.cached + take + 1], device=logits.device)
    start = len(logits) - (row.cached + take - first + 1)
    return float(torch.log_softmax(logits[start : start + len(targets)], -1).gather(1, targets[:, None]).sum())
