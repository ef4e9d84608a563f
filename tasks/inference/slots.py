"""A key-value cache for rows that come and go, and the prefixes it remembers.

What a row has at position p is in slot p of its line, whatever the other rows do: a row joins, grows and leaves without a copy of anybody
else's keys. (Keys are kept with their positions in them, so nothing depends on where in memory they are.) PagedAttention (Kwon et al. 2023)
spares the unused ends of the lines too, but needs attention kernels of its own; this takes any model of transformers that uses its cache and
mask as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from tasks.models.families import attention_kinds, sliding_window
from tasks.models.trunk import causal_lm

GRAIN = 128  # slots are added by so many
WORTH_COPYING = 8  # tokens: a shorter prefix is as quickly computed anew
KINDS = {"full_attention", "sliding_attention"}

Pairs = list[tuple[Tensor, Tensor]]  # keys and values (heads, length, dimension) of each layer


class SlotCache(Cache):
    """Buffers (lines, heads, slots, dimension) of each layer; the one slot beyond `room` takes what padding writes and is never read."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.lines = self.room = 0
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def aim(self, lines: Tensor, positions: Tensor, length: int) -> None:
        """The next forward pass writes positions (B, Q; -1 is padding) of these lines (B,) and reads their first `length` slots."""
        self._slots = torch.where(positions < 0, self.room, positions)
        self._lines, self._length = lines, length
        all_in_order = len(lines) == int(lines[-1]) + 1
        self._read = slice(0, len(lines)) if all_in_order else lines  # a view where there can be one, else a copy

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        pair = (key_states, value_states)
        if layer_idx == len(self._buffers):
            self._buffers.append(tuple(new.new_zeros(self.lines, new.shape[1], self.room + 1, new.shape[-1]) for new in pair))
        for buffer, new in zip(self._buffers[layer_idx], pair, strict=True):
            buffer[self._lines[:, None], :, self._slots] = new.transpose(1, 2)
        keys, values = self._buffers[layer_idx]
        return keys[self._read, :, : self._length], values[self._read, :, : self._length]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._length

    def grow(self, lines: int, room: int) -> None:
        """Make room for so many lines and slots; what there is stays. One layer after the other, so that no second cache is ever held."""
        lines, room = max(lines, self.lines), max(room, self.room)
        if (lines, room) == (self.lines, self.room):
            return
        for layer, pair in enumerate(self._buffers):
            grown = tuple(old.new_zeros(lines, old.shape[1], room + 1, old.shape[-1]) for old in pair)
            for new, old in zip(grown, pair, strict=True):
                new[: self.lines, :, : self.room] = old[:, :, : self.room]
            self._buffers[layer] = grown
        self.lines, self.room = lines, room

    def move(self, source: int, target: int, length: int) -> None:
        self.write(target, self.read(source, length), length)

    def read(self, line: int, length: int) -> Pairs:
        """Views of the first slots of a line."""
        return [tuple(buffer[line, :, :length] for buffer in pair) for pair in self._buffers]

    def write(self, line: int, kept: Pairs, length: int) -> None:
        """Put the first `length` slots of `kept` into a line. A cache that no pass has gone through takes its shapes from them."""
        if not self._buffers:
            self._buffers = [
                tuple(part.new_zeros(self.lines, part.shape[0], self.room + 1, part.shape[-1]) for part in pair) for pair in kept
            ]
        for pair, parts in zip(self._buffers, kept, strict=True):
            for buffer, part in zip(pair, parts, strict=True):
                buffer[line, :, :length] = part[:, :length]

    def drop(self) -> None:
        """Give the memory back."""
        self.lines = self.room = 0
        self._buffers = []

    def bytes_per_slot(self) -> int:
        """Of one token of one row, all layers together."""
        return sum(buffer[0, :, 0].numel() * buffer.element_size() for pair in self._buffers for buffer in pair)


def attention_mask(model: nn.Module, positions: Tensor, length: int) -> Tensor | dict[str, Tensor]:
    """What is added to attention scores (B, 1, Q, length): each query sees the slots up to its position, or the last of them in a sliding window.

    Models that mix kinds of attention take a mask for each.
    """
    config, dtype = causal_lm(model).config.get_text_config(), model.get_input_embeddings().weight.dtype
    slots, at = torch.arange(length, device=positions.device), positions[:, None, :, None]

    def of(kind: str) -> Tensor:
        unseen = slots > at
        if kind == "sliding_attention":
            unseen = unseen | (slots <= at - sliding_window(config))
        return torch.zeros(unseen.shape, dtype=dtype, device=positions.device).masked_fill_(unseen, torch.finfo(dtype).min)

    kinds = attention_kinds(config)
    return {kind: of(kind) for kind in kinds} if len(kinds) > 1 else of(*kinds)


@dataclass(eq=False)
class _Prefix:
    ids: list[int]
    kept: Pairs


class Prefixes:
    """Keys and values of what was read lately, at most `limit` tokens: prompts that begin alike (system message, earlier turns) are not read again."""

    def __init__(self, limit: int):
        self.limit = limit
        self._entries: list[_Prefix] = []  # the last used is last

    @property
    def tokens(self) -> int:
        return sum(len(entry.ids) for entry in self._entries)

    def longest(self, ids: Sequence[int]) -> tuple[Pairs, int]:
        """What is kept of the longest beginning of `ids`, and its length; 0 where none is worth copying. The last token is always left to read."""
        best, length = None, WORTH_COPYING - 1
        for entry in self._entries:
            shared = common(entry.ids, ids[:-1])
            if shared > length:
                best, length = entry, shared
        if best is None:
            return [], 0
        self._entries.remove(best)
        self._entries.append(best)
        return best.kept, length

    def keep(self, ids: Sequence[int], pairs: Pairs) -> None:
        """Remember `ids`, of which `pairs` are (views of) the keys and values; what begins them is forgotten, and the oldest beyond the limit."""
        if not WORTH_COPYING <= len(ids) <= self.limit or any(common(entry.ids, ids) == len(ids) for entry in self._entries):
            return
        self._entries = [entry for entry in self._entries if common(entry.ids, ids) < len(entry.ids)]
        self._entries.append(_Prefix(list(ids), [tuple(part.clone() for part in pair) for pair in pairs]))
        while self.tokens > self.limit:
            del self._entries[0]

    def clear(self) -> None:
        self._entries = []


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    length = min(len(left), len(right))
    return next((i for i in range(length) if left[i] != right[i]), length)
