"""Preference pairs as token sequences in which whatever both sides begin with is computed once.

A pair is one row: the chosen side, then what of the rejected one follows their common beginning, under a mask that hides the first's own part
from the second's. Dialogues share most of their tokens; an answer and the same answer cut off share all of the shorter one.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from tasks.data.records import Feedback, Preference
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.families import has_alibi, sliding_window
from tasks.models.trunk import causal_lm, trunk_states
from tasks.prompts.template import encode_example
from tasks.rlhf.roles import Roles

KEPT_BYTES = 1 << 30  # of trunk states; a set that takes more computes them anew in every epoch


TokenPair = tuple[list[int], list[int], list[int]]  # prompt, chosen answer, rejected answer
TokenAnswer = tuple[list[int], list[int], bool]  # prompt, answer, whether it was liked


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Preference], limit: int) -> list[TokenPair]:
    """The pairs of which both sides, prompt included, are at most `limit` tokens."""
    encoded = []
    for pair in pairs:
        (chosen, start), (rejected, _) = (encode_example(tokenizer, pair.messages, answer) for answer in (pair.chosen, pair.rejected))
        if max(len(chosen), len(rejected)) <= limit:
            encoded.append((chosen[:start], chosen[start:], rejected[start:]))
    return encoded


def encode_feedback(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Feedback], limit: int) -> list[TokenAnswer]:
    """The rows of unpaired feedback that are at most `limit` tokens, prompt included."""
    encoded = [(*encode_example(tokenizer, row.messages, row.completion), row.liked) for row in rows]
    return [(ids[:start], ids[start:], liked) for ids, start, liked in encoded if len(ids) <= limit]


def single_answers(pairs: Sequence[TokenPair]) -> list[TokenAnswer]:
    """Of each pair the chosen answer as liked, and the rejected one as not."""
    return [answer for prompt, chosen, rejected in pairs for answer in ((prompt, chosen, True), (prompt, rejected, False))]


@dataclass(frozen=True)
class PackedPair:
    """`ids[:chosen]` is the chosen side, `ids[:shared] + ids[chosen:]` the rejected one."""

    ids: list[int]
    shared: int
    chosen: int

    @classmethod
    def of(cls, chosen: list[int], rejected: list[int]) -> "PackedPair":
        both = min(len(chosen), len(rejected))
        shared = next((i for i in range(both) if chosen[i] != rejected[i]), both)
        return cls([*chosen, *rejected[shared:]], shared, len(chosen))

    @property
    def ends(self) -> tuple[int, int]:
        """Where the last tokens of both sides stand."""
        return self.chosen - 1, (len(self.ids) if len(self.ids) > self.chosen else self.shared) - 1

    def positions(self) -> list[int]:
        return [*range(self.chosen), *range(self.shared, self.shared + len(self.ids) - self.chosen)]

    def sees(self, width: int) -> Tensor:
        """(width, width) bool: which tokens (columns) each token (row) attends to. Padding attends to itself, so that no row is empty."""
        length = len(self.ids)
        seen = torch.ones(width, width, dtype=torch.bool).tril_()
        seen[self.chosen : length, self.shared : self.chosen] = False
        seen[length:, :length] = False
        return seen


def window(model: nn.Module) -> float:
    """The longest sequence in which the model attends to every earlier token.

    Raises:
        MigakiError: it numbers its tokens by ALiBi, which knows no two continuations of one beginning.
    """
    config = causal_lm(model).config
    if has_alibi(config):
        raise MigakiError(
            f"reward models cannot be trained on this {config.model_type} model: it has ALiBi; take one with rotary or learnt positions, "
            "or learn from unpaired feedback by align.algorithm=kto, which needs no reward model"
        )
    return sliding_window(config) or float("inf")


class PairSet:
    """Pairs as packed token sequences, with the trunk's states computed once and kept where they fit.

    `cut_share` adds, for that share of the pairs, the chosen answer against itself cut off somewhere: people compare whole answers only, and a
    reward model that never saw one without an end may score it anyhow, for the policy to find out.
    """

    def __init__(
        self,
        roles: Roles,
        tokenizer: PreTrainedTokenizerBase,
        pairs: Sequence[Preference],
        max_tokens: int,
        cut_share: float = 0.0,
        seed: int = 0,
    ):
        self.roles, self.pairs, self.sides, self.left_out, self.cut = roles, [], [], 0, 0
        self.limit = min(max_tokens, window(roles.base))
        for pair in pairs:
            sides = [Example(*encode_example(tokenizer, pair.messages, answer)) for answer in (pair.chosen, pair.rejected)]
            if max(len(side.ids) for side in sides) > self.limit:
                self.left_out += 1
            else:
                self.pairs.append(pair)
                self.sides += sides  # chosen of pair i at 2i, rejected at 2i + 1
        self._add_cut(cut_share, random.Random(seed))
        self.packed = [PackedPair.of(*(side.ids for side in self.sides[2 * i : 2 * i + 2])) for i in range(len(self))]
        self._keeps = 4 * roles.hidden_size * sum(len(pair.ids) for pair in self.packed) <= KEPT_BYTES
        self._kept: dict[int, Tensor] = {}

    def _add_cut(self, share: float, generator: random.Random) -> None:
        long_enough = [i for i in range(len(self)) if len(self.sides[2 * i].ids) - self.sides[2 * i].answer_start > 2]
        for i in generator.sample(long_enough, round(share * len(long_enough))):
            whole = self.sides[2 * i]
            length = generator.randrange(whole.answer_start + 1, len(whole.ids) - 1)  # at least the end and one more token are gone
            self.pairs.append(replace(self.pairs[i], margin=0.0, tie=False))
            self.sides += [whole, Example(whole.ids[:length], whole.answer_start)]
            self.cut += 1

    def __len__(self) -> int:
        return len(self.pairs)

    def last_states(self, role: str, rows: Sequence[int]) -> Tensor:
        """(B, 2, H): the final states of a role at the last tokens of the chosen and the rejected side of these pairs."""
        packed = [self.packed[row] for row in rows]
        width, device = max(len(pair.ids) for pair in packed), self.roles.device
        positions = nn.utils.rnn.pad_sequence([torch.tensor(pair.positions()) for pair in packed], batch_first=True).to(device)
        sees = torch.stack([pair.sees(width) for pair in packed])[:, None].to(device)
        states = self._states(rows, width, sees, positions)
        mask = torch.zeros(sees.shape, dtype=states.dtype, device=device).masked_fill_(~sees, torch.finfo(states.dtype).min)
        final = self.roles.final(role, states, mask, positions=positions)
        return final[torch.arange(len(packed))[:, None], torch.tensor([pair.ends for pair in packed])]

    def _states(self, rows: Sequence[int], width: int, sees: Tensor, positions: Tensor) -> Tensor:
        """(B, width, H) of the trunk."""
        missing = [i for i, row in enumerate(rows) if row not in self._kept]
        if missing:
            ids = torch.zeros(len(missing), width, dtype=torch.long)
            for line, i in zip(ids, missing, strict=True):
                line[: len(self.packed[rows[i]].ids)] = torch.tensor(self.packed[rows[i]].ids)
            dtype = self.roles.base.dtype
            mask = torch.zeros(sees[missing].shape, dtype=dtype, device=sees.device).masked_fill_(~sees[missing], torch.finfo(dtype).min)
            computed = trunk_states(self.roles.base, ids.to(sees.device), mask, self.roles.layer, positions[missing])
            if not self._keeps:
                return computed
            for i, states in zip(missing, computed, strict=True):
                self._kept[rows[i]] = states[: len(self.packed[rows[i]].ids)].clone()
        return nn.utils.rnn.pad_sequence([self._kept[row] for row in rows], batch_first=True)
