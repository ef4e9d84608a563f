"""Continuous batching: rows join and leave a batch between steps (Yu et al. 2022, "Orca").

A step reads a part of the prompts that wait, so that a long one never holds the others up for long, then gives every row that has been
read its next token. Each row has settings and a random generator of its own: what it says does not depend on its neighbours beyond
floating-point noise. One thread owns a batch.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor, nn

from tasks.inference.backend import Reason, Sampling
from tasks.inference.sampling import choose
from tasks.inference.slots import GRAIN, KINDS, Prefixes, SlotCache, attention_mask
from tasks.models.families import attention_kinds
from tasks.models.trunk import causal_lm, decoder

CLOSE, CLOSE_ENOUGH = 0.001, 0.05  # relative difference of logits that rounding explains in single precision, and in a lower one
PATIENCE = 1 / 200  # seconds that a row is read later for each token it has left to read: short prompts first, but nobody starves


class Grammar(Protocol):
    """What may come next in an answer: `tasks.inference.grammar.JsonGrammar`."""

    answer: Sequence[int]
    whole: bool  # nothing can follow

    def __call__(self, answer: Sequence[int], logits: Tensor) -> None:
        """Put -inf into logits (V,) where the next token must not be."""
        ...

    def add(self, tokens: Sequence[int]) -> None:
        """The answer goes on with these tokens."""
        ...

    def forced(self) -> list[int]:
        """Tokens that come next whatever the model says."""
        ...


@dataclass(eq=False)
class Row:
    """One answer being generated; or, where `scored` is set, the likelihood of the prompt's last so many tokens being computed."""

    prompt: list[int]
    sampling: Sampling
    limit: int  # longest answer in tokens
    ends: set[int]
    grammar: Grammar | None = None
    scored: int = 0
    logprob: float = 0.0  # nats, of the scored tokens
    answer: list[int] = field(default_factory=list)
    reason: Reason | None = None
    read: int = 0  # tokens whose keys and values are in the cache
    reused: int = 0  # of these, those that another row had read
    joined: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.generator = torch.Generator()
        if self.sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(self.sampling.seed)

    @property
    def unread(self) -> int:
        """Tokens of prompt and answer that are left to read; one, when the row goes on with the token it was given last."""
        return len(self.prompt) + len(self.answer) - self.read

    @property
    def decodes(self) -> bool:
        return self.unread == 1 and not self.scored

    def ids(self, stop: int) -> list[int]:
        """Tokens of prompt and answer, from the first unread one to before `stop`."""
        start, prompt = self.read, len(self.prompt)
        return [*self.prompt[start:stop], *self.answer[max(0, start - prompt) : max(0, stop - prompt)]]

    @property
    def given(self) -> int:
        """Tokens of the prompt that are not scored."""
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


def repeats(answer: Sequence[int], size: int) -> list[int]:
    """Tokens that would make a run of `size` tokens occur twice in the answer; none for 0."""
    if not 0 < size <= len(answer) + 1:
        return []
    last = tuple(answer[len(answer) - size + 1 :])
    return [answer[i + size - 1] for i in range(len(answer) - size + 1) if tuple(answer[i : i + size - 1]) == last]


def next_tokens(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """A token for each row of logits (B, V), drawn as that row says. Changes `logits`."""
    for row, line in zip(rows, logits, strict=True):
        line[repeats(row.answer, row.sampling.no_repeat_ngram)] = float("-inf")
        if row.grammar:
            row.grammar(row.grammar.answer, line)
    tokens, groups = [0] * len(rows), {}
    for i, row in enumerate(rows):
        groups.setdefault((row.sampling.temperature, row.sampling.top_k, row.sampling.top_p), []).append(i)
    for (temperature, top_k, top_p), members in groups.items():
        part, generators = logits[members], [rows[i].generator for i in members]
        if temperature and top_k:  # the likeliest first: to sort a few instead of the whole vocabulary
            part, index = part.topk(min(top_k, part.shape[-1]), dim=-1)
            drawn = index.gather(1, choose(part, temperature, 0, top_p, generators)[0][:, None])[:, 0]
        else:
            drawn = choose(part, temperature, top_k, top_p, generators)[0]
        for i, token in zip(members, drawn.tolist(), strict=True):
            tokens[i] = token
    return tokens


def _scored_logprob(row: Row, take: int, logits: Tensor) -> float:
    """Log-probability of those scored tokens that the last logits (N, V) predict, when the row has read `take` tokens more."""
    first = max(row.given, row.read + 1)
    targets = torch.tensor(row.prompt[first : row.read + take + 1], device=logits.device)
    start = len(logits) - (row.read + take - first + 1)
    return float(torch.log_softmax(logits[start : start + len(targets)], -1).gather(1, targets[:, None]).sum())


class Batch:
    """Rows decoded together by one model; row i has line i of the cache.

    `chunk` is the most tokens of prompts that one step reads, `cache_bytes` bounds what the rows' keys and values take (a row that is alone
    may take more), `kept_tokens` what is remembered of prompts and answers for those that begin alike.
    """

    def __init__(self, model: nn.Module, max_rows: int = 16, chunk: int = 512, cache_bytes: int = 2 << 30, kept_tokens: int = 4096):
        self.model, self.max_rows, self.chunk, self.cache_bytes = model, max_rows, chunk, cache_bytes
        self.rows: list[Row] = []
        self.cache, self.prefixes = SlotCache(), Prefixes(kept_tokens)
        self._slot_bytes = 0

    def has_room(self, row: Row) -> bool:
        """Whether the row can join now."""
        if not self.rows:
            return True
        if len(self.rows) == self.max_rows or not self._slot_bytes:  # what a slot takes is known after the first pass
            return False
        return self._lines(len(self.rows) + 1) * max(self.cache.room, self._room(row)) * self._slot_bytes <= self.cache_bytes

    @torch.no_grad()
    def join(self, row: Row) -> None:
        self.rows.append(row)
        self.cache.grow(self._lines(len(self.rows)), self._room(row))

    @torch.no_grad()
    def leave(self, row: Row) -> None:
        """Take a row out. The last row takes its line."""
        line, last = self.rows.index(row), self.rows.pop()
        if row.answer and row.reason in ("stop", "length"):
            self._remember(row, line, row.read)
        if last is not row:
            self.cache.move(len(self.rows), line, last.read)
            self.rows[line] = last
        if not self.rows:
            self.cache.drop()

    def clear(self) -> None:
        """Forget all rows, and everything that a pass which broke off may have left half written."""
        self.rows = []
        self.cache.drop()
        self.prefixes.clear()

    @torch.no_grad()
    def step(self) -> list[tuple[Row, int]]:
        """Read on, then decode: the tokens that rows were given, added to their answers. A row that has a `reason` must leave before the next step."""
        decoding = [line for line, row in enumerate(self.rows) if row.decodes]
        given = self._read_on()
        if decoding:
            given += self._decode(decoding)
        return given

    def _read_on(self) -> list[tuple[Row, int]]:
        chosen = self._to_read()
        if not chosen:
            return []
        width = max(take for _, take in chosen)
        ids, positions = torch.zeros(len(chosen), width, dtype=torch.long), torch.full((len(chosen), width), -1)
        for i, (line, take) in enumerate(chosen):  # padded on the left, so that the last column is the last token of all
            row = self.rows[line]
            ids[i, width - take :] = torch.tensor(row.ids(row.read + take))
            positions[i, width - take :] = torch.arange(row.read, row.read + take)
        wanted = max(self._wanted(self.rows[line], take) for line, take in chosen)
        logits = self._forward([line for line, _ in chosen], ids, positions, wanted)
        answering = []
        for i, (line, take) in enumerate(chosen):
            row = self.rows[line]
            if row.scored and wanted:
                row.logprob += _scored_logprob(row, take, logits[i])
            row.read += take
            if row.unread:
                continue
            if not row.answer:
                self._remember(row, line, row.given)
            if row.scored:
                row.reason = "stop"
            else:
                answering.append(i)
        return self._give(logits[answering, -1], [self.rows[chosen[i][0]] for i in answering]) if answering else []

    @staticmethod
    def _wanted(row: Row, take: int) -> int:
        """How many of the last logits are needed when the row reads so many tokens on."""
        if row.scored:
            return max(0, min(take, row.read + take - (row.given - 1)))
        return int(take == row.unread)

    def _to_read(self) -> list[tuple[int, int]]:
        """(line, tokens) of the prompts to read on in this step: as many as `chunk` tokens allow, padding counted."""
        reading = [line for line, row in enumerate(self.rows) if not row.decodes]
        chosen, width = [], 0
        for line in sorted(reading, key=lambda line: self.rows[line].joined + PATIENCE * self.rows[line].unread):
            row = self.rows[line]
            if not row.read:
                kept, row.read = self.prefixes.longest(row.prompt[: row.given])
                row.reused = row.read
                if row.read:
                    self.cache.write(line, kept, row.read)
            take = min(row.unread, self.chunk)
            width = max(width, take)
            if chosen and width * (len(chosen) + 1) > self.chunk:
                break
            chosen.append((line, take))
        return sorted(chosen)

    def _decode(self, decoding: list[int]) -> list[tuple[Row, int]]:
        """Lines between those that decode go through with padding: the cache is read without a copy."""
        lines = range(decoding[-1] + 1)
        ids, positions = torch.zeros(len(lines), 1, dtype=torch.long), torch.full((len(lines), 1), -1)
        for line in decoding:
            row = self.rows[line]
            ids[line], positions[line] = row.ids(row.read + 1)[0], row.read
        logits = self._forward(lines, ids, positions, 1)[:, -1]
        rows = [self.rows[line] for line in decoding]
        for row in rows:
            row.read += 1
        return self._give(logits[decoding], rows)

    def _forward(self, lines: Sequence[int], ids: Tensor, positions: Tensor, wanted: int) -> Tensor:
        """Logits (B, wanted, V) after the last of ids (B, Q) at positions (B, Q; -1 is padding); the head, which is dear, runs for these only."""
        device, length = self.model.device, int(positions.max()) + 1
        ids, positions, lines = ids.to(device), positions.to(device), torch.tensor(list(lines), device=device)
        self.cache.aim(lines, positions, length)
        arguments = {
            "input_ids": ids,
            "attention_mask": attention_mask(self.model, positions, length),
            "position_ids": positions.clamp(min=0),
            "past_key_values": self.cache,
            "use_cache": True,
        }
        if wanted:
            logits = self.model(**arguments, logits_to_keep=wanted).logits.float()
        else:
            logits = decoder(self.model)(**arguments).last_hidden_state[:, :0]
        self._slot_bytes = self._slot_bytes or self.cache.bytes_per_slot()
        return logits

    @staticmethod
    def _give(logits: Tensor, rows: list[Row]) -> list[tuple[Row, int]]:
        given = list(zip(rows, next_tokens(logits, rows), strict=True))
        for row, token in given:
            row.add(token)
        return given

    def _remember(self, row: Row, line: int, length: int) -> None:
        self.prefixes.keep((row.prompt + row.answer)[:length], self.cache.read(line, length))

    def _lines(self, rows: int) -> int:
        """Lines that so many rows are given: doubled, so that a growing batch is seldom copied."""
        return min(self.max_rows, max(self.cache.lines, 1 << (rows - 1).bit_length()))

    @staticmethod
    def _room(row: Row) -> int:
        return -(-(len(row.prompt) + row.limit) // GRAIN) * GRAIN


@torch.no_grad()
def can_batch(model: nn.Module) -> bool:
    """Whether rows of different lengths, read in parts, get the logits that each gets alone: not where a model keeps a cache of its own kind."""
    if not attention_kinds(causal_lm(model).config) <= KINDS:
        return False
    batch, probes = Batch(model, chunk=8, kept_tokens=0), [_probe(length) for length in (5, 19, 11)]
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
    limit = CLOSE if exact else CLOSE_ENOUGH
    return all(
        _difference(logits, _alone(model, row.prompt + row.answer[:i])) < limit
        for row in probes
        for i, logits in enumerate(row.grammar.seen)
    )


class _Witness:
    """In a grammar's place: allows everything, and notes the logits that its row is given."""

    def __init__(self, logits: list[Tensor]):
        self.seen, self.answer, self.whole = logits, (), False

    def __call__(self, answer: Sequence[int], logits: Tensor) -> None:
        self.seen.append(logits.clone())

    def add(self, tokens: Sequence[int]) -> None:
        pass

    def forced(self) -> list[int]:
        return []


def _probe(length: int) -> Row:
    ids = [1 + (7 * i + length) % 50 for i in range(length)]
    return Row(ids, Sampling(temperature=0.0, no_repeat_ngram=0), 3, set(), _Witness([]))


def _alone(model: nn.Module, ids: list[int]) -> Tensor:
    return model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1].float()


def _difference(left: Tensor, right: Tensor) -> float:
    return float((left - right).norm() / right.norm())
