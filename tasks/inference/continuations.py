"""Log-likelihood of several continuations of the same text, each text read once.

The choices of a question share its words, and all questions of a few-shot benchmark share the worked examples before them. The examples are read once and
their keys and values kept; a question is one row, its own words and behind them the tokens of every choice, each of which sees the words and itself
alone (a tree in the attention mask, as SpecInfer verifies its guesses, Miao et al. 2024, section 4.2). The last token of a choice predicts nothing, and
is not read. What no mask can say of a family, such as Alibi's distances, is found out by trying; its continuations are then scored one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from tasks.inference.kv_cache import ATTENTION_KINDS, KeysAndValues, each
from tasks.models.batching import Example, by_length
from tasks.models.families import attention_kinds, sliding_window
from tasks.models.likelihood import score_examples, target_logprobs
from tasks.models.trunk import causal_lm, decoder, input_embeddings, lm_head

BATCH = 16  # questions that are read together
TOLERANCE = 1e-3  # nats by which a probe may differ from its continuations scored one by one
OTHER = -1  # the owner of padding; 0 owns what all continuations share, i + 1 is continuation i


@dataclass(frozen=True)
class Continuation:
    """Token ids of a text and of what follows it from `start` on; `start` is 1 at least, as nothing predicts a first token."""

    ids: list[int]
    start: int


@dataclass(frozen=True)
class _Row:
    """A question's tokens behind the part that all have read, and where the states that predict each continuation's tokens are."""

    ids: list[int]
    positions: list[int]
    owners: list[int]
    predicting: list[list[int]]
    targets: list[list[int]]


class _SharedKeys(Cache):
    """Keys and values (1, heads, length, dimension) of what was read once, put before those of every row of a later pass and never added to."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.kept: KeysAndValues = []
        self.ids: list[int] = []
        self.length = 0  # how much of it the next pass sees

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if layer_idx == len(self.kept):
            self.kept.append((key_states, value_states))
            return key_states, value_states
        keys, values = self.kept[layer_idx]
        rows = len(key_states)
        keys, values = each(lambda part: part[:, :, : self.length].expand(rows, -1, -1, -1), (keys, values))
        return torch.cat([keys, key_states], dim=2), torch.cat([values, value_states], dim=2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length if layer_idx < len(self.kept) else 0


class ContinuationScorer:
    """Scores continuations under a frozen model; what they share with those before is kept between calls."""

    def __init__(self, model: nn.Module, batch: int = BATCH):
        self.model, self.batch = model, batch
        self._shared = _SharedKeys()
        self.in_trees = self._trees_agree()

    def score(self, items: Sequence[Sequence[Continuation]], shared: Sequence[int] = ()) -> list[list[float]]:
        """Log-likelihood (nats, summed over tokens) of each continuation of each item.

        Args:
            shared: ids that all of them begin with, or nearly: as many as do are read once.
        """
        if not items:
            return []
        return self._in_trees(items, shared) if self.in_trees else self._one_by_one(items)

    def _one_by_one(self, items: Sequence[Sequence[Continuation]]) -> list[list[float]]:
        scores = iter(score_examples(self.model, [Example(one.ids, one.start) for item in items for one in item], batch_size=self.batch))
        return [[-next(scores).nll for _ in item] for item in items]

    @torch.no_grad()
    def _in_trees(self, items: Sequence[Sequence[Continuation]], shared: Sequence[int]) -> list[list[float]]:
        skipped = self._read(items, shared)
        rows, head = [_row(item, skipped) for item in items], lm_head(self.model)
        scores: dict[int, list[float]] = {}
        for group in by_length(rows, self.batch):
            own = [rows[i] for i in group]
            states = self._states(own)
            places = [(i, place) for i, row in enumerate(own) for part in row.predicting for place in part]
            targets = torch.tensor([token for row in own for part in row.targets for token in part], device=states.device)
            chosen = torch.tensor(places, device=states.device)
            values = iter(target_logprobs(head, states[chosen[:, 0], chosen[:, 1]], targets).double().tolist())
            for i, row in zip(group, own, strict=True):
                scores[i] = [sum(next(values) for _ in part) for part in row.targets]
        return [scores[i] for i in range(len(items))]

    def _read(self, items: Sequence[Sequence[Continuation]], shared: Sequence[int]) -> int:
        """Read what all share, unless it is there; returns how many tokens that is. A row keeps one token at least to predict its first one."""
        every = [one for item in items for one in item]
        room = min(min(one.start, len(one.ids) - 1) - 1 for one in every)
        common = every[0].ids[: _common([list(shared)[:room], *(one.ids for one in every)])]
        if common != self._shared.ids[: len(common)]:
            self._shared = _SharedKeys()
            positions = torch.arange(len(common), device=self._device)[None]
            decoder(self.model)(
                input_ids=torch.tensor([common], device=self._device),
                attention_mask=self._mask(positions, torch.zeros_like(positions), 0),
                position_ids=positions,
                past_key_values=self._shared,
                use_cache=True,
            )
            self._shared.ids = common
        self._shared.length = len(common)
        return len(common)

    @property
    def _device(self) -> torch.device:
        return input_embeddings(self.model).weight.device

    def _states(self, rows: Sequence[_Row]) -> Tensor:
        """(B, T, H) final states of the rows, padded on the right."""
        width = max(len(row.ids) for row in rows)

        def padded(lists: Sequence[list[int]], filler: int) -> Tensor:
            return torch.tensor([part + [filler] * (width - len(part)) for part in lists], device=self._device)

        positions, owners = padded([row.positions for row in rows], 0), padded([row.owners for row in rows], OTHER)
        states: Tensor = decoder(self.model)(
            input_ids=padded([row.ids for row in rows], 0),
            attention_mask=self._mask(positions, owners, self._shared.length),
            position_ids=positions,
            past_key_values=self._shared if self._shared.length else None,
            use_cache=bool(self._shared.length),
        ).last_hidden_state
        return states

    def _mask(self, positions: Tensor, owners: Tensor, before: int) -> Tensor | dict[str, Tensor]:
        """(B, 1, T, before + T), added to attention scores: each token sees the `before` tokens of the shared part, of its row what all own and what its
        own continuation said before it; in a sliding window only the last of these by position. A mask for each kind of attention where there are two."""
        config, dtype = causal_lm(self.model).config.get_text_config(), input_embeddings(self.model).weight.dtype
        rows, width = positions.shape
        order = torch.arange(width, device=positions.device)
        seen = (order[:, None] >= order) & ((owners[:, None, :] == 0) | (owners[:, None, :] == owners[:, :, None]))
        seen = torch.cat([seen.new_ones(rows, width, before), seen], dim=2)[:, None]
        first = torch.arange(before, device=positions.device).expand(rows, before)
        distance = positions[:, None, :, None] - torch.cat([first, positions], dim=1)[:, None, None, :]

        def of(kind: str) -> Tensor:
            window = sliding_window(config) if kind == "sliding_attention" else None
            hidden = ~seen if window is None else ~seen | (distance >= window)
            return torch.zeros(hidden.shape, dtype=dtype, device=positions.device).masked_fill_(hidden, torch.finfo(dtype).min)

        kinds = attention_kinds(config)
        return {kind: of(kind) for kind in kinds} if len(kinds) > 1 else of(*kinds)

    def _trees_agree(self) -> bool:
        """Whether two probes get the scores that their continuations get one by one, with a shared part and without."""
        if not attention_kinds(causal_lm(self.model).config) <= ATTENTION_KINDS:
            return False
        words = [1 + (7 * i) % 50 for i in range(14)]
        probe = [[Continuation([*words[:n], *ends], n) for ends in ([5, 9, 3], [8], [5, 2])] for n in (14, 11)]
        try:
            found = [self._in_trees(probe, words[:shared]) for shared in (0, 6)]
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            return False
        wanted = torch.tensor(self._one_by_one(probe))
        return all(float((torch.tensor(one) - wanted).abs().max()) <= TOLERANCE * float(wanted.abs().max()) for one in found)


def _common(lists: Sequence[list[int]]) -> int:
    """How many items all of them begin with: as many as the first and the last of them in order."""
    first, last = min(lists), max(lists)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _row(item: Sequence[Continuation], skipped: int) -> _Row:
    """One question as a row: what all of its continuations begin with, then the rest of each without its last token."""
    common = _common([one.ids[:-1] for one in item])
    ids = item[0].ids[skipped:common]
    positions, owners = list(range(skipped, common)), [0] * (common - skipped)
    predicting, targets = [], []
    for owner, one in enumerate(item, 1):
        branch = one.ids[common:-1]
        begins = len(ids) - common  # the place of a token of the branch, less its position
        predicting.append([at - skipped if at < common else at + begins for at in range(one.start - 1, len(one.ids) - 1)])
        targets.append(one.ids[one.start :])
        ids = ids + branch
        positions += range(common, common + len(branch))
        owners += [owner] * len(branch)
    return _Row(ids, positions, owners, predicting, targets)
