"""A pair packed into one row is scored as its two sides are alone, and no state is kept beyond the limit."""

import pytest
import torch

from tasks.data.records import Preference
from tasks.errors import MigakiError
from tasks.models.batching import collate
from tasks.rlhf import pairs as pairs_module
from tasks.rlhf.pairs import PackedPair, PairSet
from tasks.rlhf.reward import RewardModel, pair_scores
from tasks.rlhf.roles import Roles, scalar_head
from tests.helpers.models import FAMILIES, tiny_llama, tiny_tokenizer

TEXTS = [
    ("yes!", "no, not at all"),
    ("a much longer answer than that", "a much"),
    ("はい、そうです", "いいえ"),
    ("same", "same and more of it"),
]


def preferences():
    return [
        Preference(f"{i}", [{"role": "user", "content": "q" * (1 + 7 * i)}], chosen, rejected, "en", "t", 0.0, 1.0, 0)
        for i, (chosen, rejected) in enumerate(TEXTS)
    ]


def reward_on(model):
    roles = Roles(model, 1)
    with torch.no_grad():
        for parameter in roles.add("first", 4, "all-linear", 0):
            parameter.normal_(std=0.3)
    return RewardModel(roles, "first", scalar_head(roles.hidden_size, 0))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_pair_scores_as_its_sides_do_alone(family):
    reward = reward_on(FAMILIES[family]())
    pairs = PairSet(reward.roles, tiny_tokenizer(), preferences(), 200, cut_share=1.0)
    assert len(pairs) == 8
    packed = pair_scores(reward, pairs, batch_size=3)
    alone = torch.stack([reward.score(collate(pairs.sides, [side], 0))[0] for side in range(len(pairs.sides))]).view(-1, 2)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)
    assert (packed[:, 0] - packed[:, 1]).abs().min() > 1e-4


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_gradients_are_those_of_the_sides_alone(attention):
    model = tiny_llama()
    model.set_attn_implementation(attention)
    reward = reward_on(model)
    weights = reward.roles.parameters("first")
    pairs = PairSet(reward.roles, tiny_tokenizer(), preferences(), 200)
    reward.of_pairs(pairs, [0, 1, 2, 3]).mul(torch.tensor([1.0, -2.0])).sum().backward()
    packed = [weight.grad.clone() for weight in weights]
    for weight in weights:
        weight.grad = None
    batch = collate(pairs.sides, range(8), 0)
    reward.raw(reward.roles.states(batch), batch.mask).view(-1, 2).mul(torch.tensor([1.0, -2.0])).sum().backward()
    torch.testing.assert_close(packed, [weight.grad for weight in weights], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("chosen", "rejected", "ids", "ends"),
    [
        ([1, 2, 3], [1, 4], [1, 2, 3, 4], (2, 3)),
        ([1, 2, 3], [1, 2], [1, 2, 3], (2, 1)),  # cut off: nothing to add
        ([1, 2], [1, 2, 3], [1, 2, 3], (1, 2)),
        ([1], [2], [1, 2], (0, 1)),  # nothing in common
    ],
)
def test_what_is_packed(chosen, rejected, ids, ends):
    pair = PackedPair.of(chosen, rejected)
    assert (pair.ids, pair.ends) == (ids, ends)
    assert pair.positions()[pair.ends[1]] == len(rejected) - 1
    seen = pair.sees(len(ids) + 1)
    for side, end in zip((chosen, rejected), ends, strict=True):
        assert [token for token, sees in zip([*ids, 99], seen[end].tolist(), strict=True) if sees] == side
    assert seen.any(-1).all()


def test_states_that_do_not_fit_are_computed_anew(monkeypatch):
    reward = reward_on(tiny_llama())
    kept = PairSet(reward.roles, tiny_tokenizer(), preferences(), 200)
    monkeypatch.setattr(pairs_module, "KEPT_BYTES", 1000)
    fleeting = PairSet(reward.roles, tiny_tokenizer(), preferences(), 200)
    for _ in range(2):
        torch.testing.assert_close(pair_scores(reward, kept), pair_scores(reward, fleeting))
    assert len(kept._kept) == 4 and not fleeting._kept


def test_a_window_bounds_the_pairs_and_alibi_is_refused():
    roles = Roles(tiny_llama(), 1)
    roles.base.config.sliding_window = 40
    pairs = PairSet(roles, tiny_tokenizer(), preferences(), 200)
    assert 0 < pairs.left_out < 4 and all(len(side.ids) <= 40 for side in pairs.sides)
    roles.base.config.alibi = True
    with pytest.raises(MigakiError, match="llama model: it has ALiBi"):
        PairSet(roles, tiny_tokenizer(), preferences(), 200)
