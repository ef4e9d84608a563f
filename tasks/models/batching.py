"""Token sequences with an answer in them, and batches of them with explicit masks.

No mask is ever derived from a token id: in many tokenizers padding is the very token that ends an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


class Tokens(Protocol):
    """Whatever batches are made of by length."""

    @property
    def ids(self) -> list[int]: ...


@dataclass(frozen=True)
class Example:
    """Ids of a prompt and an answer. `characters` is the answer's length as text, `lang` its language, where figures are told apart by it.

    A conversation has earlier answers to learn too: `earlier` are their tokens [start, stop), and `characters` counts all.
    """

    ids: list[int]
    answer_start: int
    characters: int = 0
    lang: str = ""
    earlier: tuple[tuple[int, int], ...] = ()

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Tokens [start, stop) of all answers. A first token is predicted by nothing."""
        return tuple((max(1, start), stop) for start, stop in (*self.earlier, (self.answer_start, len(self.ids))))

    @property
    def answer_tokens(self) -> int:
        """Tokens with a loss."""
        return sum(stop - start for start, stop in self.spans)


@dataclass(frozen=True)
class Batch:
    """Right-padded examples. `predicts` (B, T) marks the positions whose next token is an answer's; `targets` (N,) are those tokens, row by row."""

    rows: list[int]
    ids: Tensor  # (B, T)
    mask: Tensor  # (B, T), 1 for real tokens
    predicts: Tensor  # (B, T) bool
    targets: Tensor  # (N,)

    @property
    def answer_tokens(self) -> Tensor:
        """Answer tokens of each row, (B,)."""
        return self.predicts.sum(-1)


def collate(examples: Sequence[Example], rows: Sequence[int], pad_id: int, device: str = "cpu") -> Batch:
    """The batch of `examples[row]` for the given rows."""
    width = max(len(examples[row].ids) for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    predicts = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        example = examples[row]
        ids[i, : len(example.ids)] = torch.tensor(example.ids)
        mask[i, : len(example.ids)] = 1
        for start, stop in example.spans:
            predicts[i, start - 1 : stop - 1] = True
    targets = ids.roll(-1, dims=1)[predicts]
    return Batch(list(rows), ids.to(device), mask.to(device), predicts.to(device), targets.to(device))


def as_rows(flat: Tensor, batch: Batch) -> Tensor:
    """(N,) values of answer tokens, row by row, to (B, L), padded with zeros on the right."""
    return nn.utils.rnn.pad_sequence(list(flat.split(batch.answer_tokens.tolist())), batch_first=True)


def prompts_and_answers(batch: Batch) -> tuple[list[list[int]], list[list[int]]]:
    """The prompts and the answers of a batch, as token ids; of a conversation, what follows its first prompt."""
    starts, ends = batch.predicts.int().argmax(-1) + 1, batch.mask.sum(-1)
    cut = [(ids[:end], start) for ids, start, end in zip(batch.ids.tolist(), starts.tolist(), ends.tolist(), strict=True)]
    return [ids[:start] for ids, start in cut], [ids[start:] for ids, start in cut]


def by_length(examples: Sequence[Tokens], size: int) -> list[list[int]]:
    """Rows in groups of `size`, longest first, so that padding is small and the largest batch is met at once."""
    order = sorted(range(len(examples)), key=lambda row: -len(examples[row].ids))
    return [order[i : i + size] for i in range(0, len(order), size)]
