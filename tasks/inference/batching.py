"""Continuous batching: rows join and leave a batch between steps (Yu et al. 2022, "Orca").

A step passes a part of the prompts that wait through the model (chunked prefill, Agrawal et al. 2023), so that a long one never holds the
others up for long, then gives every row whose prompt has passed its next token. Each row has settings and a random generator of its own: what
it says does not depend on its neighbours beyond floating-point noise. One thread owns a batch.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tasks.inference.kv_cache import SLOT_STEP, SlotCache, attention_mask
from tasks.inference.prefix_cache import PrefixCache
from tasks.inference.rows import Row, next_tokens, scored_logprob
from tasks.models.trunk import decoder

NEAR = 2048  # tokens before a part of a prompt that cost as much attention again as the part itself, roughly (135M parameters on a CPU)
STEP_SECONDS = 0.5  # that a part of a prompt may take while others wait for their next token
LEAST = 64  # tokens that it has all the same: smaller products are no faster
PATIENCE = 1 / 200  # seconds that a row waits longer for each token it has left to prefill: short prompts first, but nobody starves


@dataclass(frozen=True)
class BatchLimits:
    """What bounds a batch."""

    max_rows: int = 16
    chunk: int = 512  # tokens of prompts that one step passes through the model, fewer far into a long one while others are being answered
    cache_bytes: int = 2 << 30  # of the rows' keys and values; a row that is alone may take more
    kept_tokens: int = 4096  # of prompts and answers that are remembered for those that begin alike


class ContinuousBatch:
    """Rows decoded together by one model; row i has line i of the cache."""

    def __init__(self, model: PreTrainedModel, limits: BatchLimits | None = None):
        self.model, self.limits = model, limits or BatchLimits()
        self.rows: list[Row] = []
        self.cache, self.prefixes = SlotCache(), PrefixCache(self.limits.kept_tokens)
        self._slot_bytes = 0
        self._pace = 0.0  # seconds that a token of a prompt took lately, attention to those before it put aside

    def has_room(self, row: Row) -> bool:
        """Whether the row can join now."""
        if not self.rows:
            return True
        if len(self.rows) == self.limits.max_rows or not self._slot_bytes:  # what a slot takes is known after the first pass
            return False
        return self._lines(len(self.rows) + 1) * max(self.cache.capacity, self._capacity(row)) * self._slot_bytes <= self.limits.cache_bytes

    @torch.no_grad()
    def join(self, row: Row) -> None:
        self.rows.append(row)
        self.cache.grow(self._lines(len(self.rows)), self._capacity(row))

    @torch.no_grad()
    def leave(self, row: Row) -> None:
        """Take a row out. The last row takes its line."""
        line, last = self.rows.index(row), self.rows.pop()
        if row.answer and row.reason in ("stop", "length"):
            self._keep_prefix(row, line, row.cached)
        if last is not row:
            self.cache.move(len(self.rows), line, last.cached)
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
        """Prefill, then decode: the tokens that rows were given, added to their answers. A row that has a `reason` must leave before the next step."""
        decoding = [line for line, row in enumerate(self.rows) if row.decodes]
        given = self._prefill()
        if decoding:
            given += self._decode(decoding)
        return given

    def _prefill(self) -> list[tuple[Row, int]]:
        chosen = self._to_prefill()
        if not chosen:
            return []
        width = max(take for _, take in chosen)
        ids, positions = torch.zeros(len(chosen), width, dtype=torch.long), torch.full((len(chosen), width), -1)
        for i, (line, take) in enumerate(chosen):  # padded on the left, so that the last column is the last token of all
            row = self.rows[line]
            ids[i, width - take :] = torch.tensor(row.ids(row.cached + take))
            positions[i, width - take :] = torch.arange(row.cached, row.cached + take)
        wanted = max(self._logits_needed(self.rows[line], take) for line, take in chosen)
        started, work = time.perf_counter(), sum(take * (1 + self.rows[line].cached / NEAR) for line, take in chosen)
        logits = self._forward([line for line, _ in chosen], ids, positions, wanted)
        pace = (time.perf_counter() - started) / work
        self._pace = (self._pace + pace) / 2 if self._pace else pace
        answering = []
        for i, (line, take) in enumerate(chosen):
            row = self.rows[line]
            if row.scored and wanted:
                row.logprob += scored_logprob(row, take, logits[i])
            row.cached += take
            if row.uncached:
                continue
            if not row.answer:
                self._keep_prefix(row, line, row.scored_from)
            if row.scored:
                row.reason = "stop"
            else:
                answering.append(i)
        return self._draw(logits[answering, -1], [self.rows[chosen[i][0]] for i in answering]) if answering else []

    @staticmethod
    def _logits_needed(row: Row, take: int) -> int:
        """How many of the last logits are needed when so many tokens of the row pass the model."""
        if row.scored:
            return max(0, min(take, row.cached + take - (row.scored_from - 1)))
        return int(take == row.uncached)

    def _to_prefill(self) -> list[tuple[int, int]]:
        """(line, tokens) of the prompts that go on in this step: as many as `_chunk` allows, padding counted."""
        prefilling = [line for line, row in enumerate(self.rows) if not row.decodes]
        alone, chosen = len(prefilling) == len(self.rows), list[tuple[int, int]]()
        width, room = 0, self.limits.chunk
        for line in sorted(prefilling, key=lambda line: self.rows[line].joined + PATIENCE * self.rows[line].uncached):
            row = self.rows[line]
            if not row.cached:
                kept, row.cached = self.prefixes.longest(row.prompt[: row.scored_from], row.salt, row.head)
                row.reused = row.cached
                if row.cached:
                    self.cache.write(line, kept, row.cached)
            room = min(room, self._chunk(row, alone))
            take = min(row.uncached, room)
            width = max(width, take)
            if chosen and width * (len(chosen) + 1) > room:
                break
            chosen.append((line, take))
        return sorted(chosen)

    def _chunk(self, row: Row, alone: bool) -> int:
        """Tokens of a row's prompt that one step may pass. Each token attends to all before it, and the machine may be slow or busy: where others
        wait for their next token, a whole part of a long prompt would cost them seconds."""
        if alone:
            return self.limits.chunk
        most = self.limits.chunk if not self._pace else min(self.limits.chunk, max(LEAST, int(STEP_SECONDS / self._pace)))
        return max(1, int(most / (1 + row.cached / NEAR)))

    def _decode(self, decoding: list[int]) -> list[tuple[Row, int]]:
        """Lines between those that decode go through with padding: the cache is read without a copy."""
        lines = range(decoding[-1] + 1)
        ids, positions = torch.zeros(len(lines), 1, dtype=torch.long), torch.full((len(lines), 1), -1)
        for line in decoding:
            row = self.rows[line]
            ids[line], positions[line] = row.ids(row.cached + 1)[0], row.cached
        logits = self._forward(lines, ids, positions, 1)[:, -1]
        rows = [self.rows[line] for line in decoding]
        for row in rows:
            row.cached += 1
        return self._draw(logits[decoding], rows)

    def _forward(self, lines: Sequence[int], ids: Tensor, positions: Tensor, wanted: int) -> Tensor:
        """Logits (B, wanted, V) after the last of ids (B, Q) at positions (B, Q; -1 is padding); the head, which is dear, runs for these only."""
        device, length = self.model.device, int(positions.max()) + 1
        ids, positions = ids.to(device), positions.to(device)
        self.cache.aim(torch.tensor(list(lines), device=device), positions, length)
        arguments: dict[str, Any] = {
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
    def _draw(logits: Tensor, rows: list[Row]) -> list[tuple[Row, int]]:
        given = list(zip(rows, next_tokens(logits, rows), strict=True))
        for row, token in given:
            row.add(token)
        return given

    def _keep_prefix(self, row: Row, line: int, length: int) -> None:
        self.prefixes.keep((row.prompt + row.answer)[:length], self.cache.read(line, length), row.salt)

    def _lines(self, rows: int) -> int:
        """Lines that so many rows are given: doubled, so that a growing batch is seldom copied."""
        return min(self.limits.max_rows, max(self.cache.lines, 1 << (rows - 1).bit_length()))

    @staticmethod
    def _capacity(row: Row) -> int:
        return -(-(len(row.prompt) + row.limit) // SLOT_STEP) * SLOT_STEP
