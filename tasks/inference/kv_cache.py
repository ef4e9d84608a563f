"""Key-value caches: one for rows that come and go, and one for rows that are sampled together.

In the first, what a row has at position p is in slot p of its line, whatever the other rows do: a row joins, grows and leaves without a copy
of anybody else's keys. (Keys are kept with their positions in them, so nothing depends on where in memory they are.) PagedAttention (Kwon et
al. 2023) spares the unused ends of the lines too, but needs attention kernels of its own; this takes any model of transformers that uses its
cache and mask as they are.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from tasks.models.families import attention_kinds, sliding_window
from tasks.models.trunk import causal_lm, input_embeddings

SLOT_STEP = 128  # slots are added by so many
ATTENTION_KINDS = {"full_attention", "sliding_attention"}

Pair = tuple[Tensor, Tensor]  # keys and values
KeysAndValues = list[Pair]  # (heads, length, dimension) of each layer


def each(change: Callable[[Tensor], Tensor], pair: Pair) -> Pair:
    """Keys and values, both changed in the same way."""
    keys, values = pair
    return change(keys), change(values)


class SlotCache(Cache):
    """Buffers (lines, heads, slots, dimension) of each layer; the one slot beyond `capacity` takes what padding writes and is never read."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.lines = self.capacity = 0
        self._buffers: list[Pair] = []

    def aim(self, lines: Tensor, positions: Tensor, length: int) -> None:
        """The next forward pass writes positions (B, Q; -1 is padding) of these lines (B,) and reads their first `length` slots."""
        self._slots = torch.where(positions < 0, self.capacity, positions)
        self._lines, self._length = lines, length
        all_in_order = len(lines) == int(lines[-1]) + 1
        self._read = slice(0, len(lines)) if all_in_order else lines  # a view where there can be one, else a copy

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        pair: Pair = (key_states, value_states)
        if layer_idx == len(self._buffers):
            self._buffers.append(each(lambda new: new.new_zeros(self.lines, new.shape[1], self.capacity + 1, new.shape[-1]), pair))
        for buffer, new in zip(self._buffers[layer_idx], pair, strict=True):
            buffer[self._lines[:, None], :, self._slots] = new.transpose(1, 2)
        keys, values = self._buffers[layer_idx]
        return keys[self._read, :, : self._length], values[self._read, :, : self._length]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._length

    def grow(self, lines: int, capacity: int) -> None:
        """Make room for so many lines and slots; what there is stays. One layer after the other, so that no second cache is ever held."""
        lines, capacity = max(lines, self.lines), max(capacity, self.capacity)
        if (lines, capacity) == (self.lines, self.capacity):
            return
        for layer, pair in enumerate(self._buffers):
            grown = each(lambda old: old.new_zeros(lines, old.shape[1], capacity + 1, old.shape[-1]), pair)
            for new, old in zip(grown, pair, strict=True):
                new[: self.lines, :, : self.capacity] = old[:, :, : self.capacity]
            self._buffers[layer] = grown
        self.lines, self.capacity = lines, capacity

    def move(self, source: int, target: int, length: int) -> None:
        self.write(target, self.read(source, length), length)

    def read(self, line: int, length: int) -> KeysAndValues:
        """Views of the first slots of a line."""
        return [each(lambda buffer: buffer[line, :, :length], pair) for pair in self._buffers]

    def write(self, line: int, kept: KeysAndValues, length: int) -> None:
        """Put the first `length` slots of `kept` into a line. A cache that no pass has gone through takes its shapes from them."""
        if not self._buffers:
            shape = self.lines, self.capacity + 1
            self._buffers = [each(lambda part: part.new_zeros(shape[0], part.shape[0], shape[1], part.shape[-1]), pair) for pair in kept]
        for pair, parts in zip(self._buffers, kept, strict=True):
            for buffer, part in zip(pair, parts, strict=True):
                buffer[line, :, :length] = part[:, :length]

    def drop(self) -> None:
        """Give the memory back."""
        self.lines = self.capacity = 0
        self._buffers = []

    def bytes_per_slot(self) -> int:
        """Of one token of one row, all layers together."""
        return sum(buffer[0, :, 0].numel() * buffer.element_size() for pair in self._buffers for buffer in pair)


def attention_mask(model: nn.Module, positions: Tensor, length: int) -> Tensor | dict[str, Tensor]:
    """What is added to attention scores (B, 1, Q, length): each query sees the slots up to its position, or the last of them in a sliding window.

    Models that mix kinds of attention take a mask for each.
    """
    config, dtype = causal_lm(model).config.get_text_config(), input_embeddings(model).weight.dtype
    slots, at = torch.arange(length, device=positions.device), positions[:, None, :, None]

    def of(kind: str) -> Tensor:
        unseen = slots > at
        if kind == "sliding_attention" and (window := sliding_window(config)) is not None:
            unseen = unseen | (slots <= at - window)
        return torch.zeros(unseen.shape, dtype=dtype, device=positions.device).masked_fill_(unseen, torch.finfo(dtype).min)

    kinds = attention_kinds(config)
    return {kind: of(kind) for kind in kinds} if len(kinds) > 1 else of(*kinds)


class _PreallocatedLayer(DynamicLayer):
    """Keys and values in a buffer with room for the tokens to come: appending one does not copy all before it."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room
        self._buffers: Pair | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        start, pair = self.get_seq_length(), (key_states, value_states)
        end = start + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self._buffers is None:
            self._buffers = each(lambda part: part.new_empty(*part.shape[:-2], end + self.room, part.shape[-1]), pair)
        for buffer, new in zip(self._buffers, pair, strict=True):
            buffer[..., start:end, :] = new
        self.keys, self.values = each(lambda buffer: buffer[..., :end, :], self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        length = self.get_seq_length()
        if self._buffers is not None:
            self._buffers = each(lambda buffer: buffer[indices], self._buffers)
            self.keys, self.values = each(lambda buffer: buffer[..., :length, :], self._buffers)


def preallocated_cache(model: nn.Module, room: int) -> DynamicCache:
    """A cache for a prompt and `room` more tokens. Layers that see a sliding window keep transformers' own kind."""
    cache = DynamicCache(config=causal_lm(model).config)
    cache.layers = [_PreallocatedLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
