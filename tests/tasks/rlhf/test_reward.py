"""Reward models: they learn what pairs say, come back from disk as they were, and say no to a foreign trunk."""

import json
from dataclasses import replace

import pytest
import torch

from tasks.data.records import Preference
from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.rlhf.pairs import PairSet
from tasks.rlhf.reward import (
    FACTS,
    MODELS,
    RewardModel,
    normalise,
    open_reward_model,
    pair_scores,
    score_examples,
    score_with_both,
    train_reward_model,
)
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.settings import RewardSettings
from tasks.rlhf.task_reward import _fit, _halves
from tests.helpers.models import FAMILIES, tiny_llama, tiny_tokenizer

SETTINGS = RewardSettings(reward_epochs=12, reward_learning_rate=0.01, reward_batch_pairs=4, reward_lora_r=4)


def pairs(count=16, margin=0.0):
    """Whoever answers with an exclamation mark is preferred."""
    return [
        Preference(f"{i}", [{"role": "user", "content": f"q{i}"}], f"yes {i}!", f"yes {i}?", "en", "t", margin, 1.0, i % 2)
        for i in range(count)
    ]


def trained(model, which="first", settings=SETTINGS):
    roles = Roles(model, 2)
    roles.add(which, settings.reward_lora_r, settings.reward_lora_targets, 0)
    reward = RewardModel(roles, which, scalar_head(roles.hidden_size, 0))
    train_reward_model(reward, PairSet(roles, tiny_tokenizer(), pairs(), 200), settings, lambda *_: None)
    return reward


@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_what_the_pairs_say(family):
    reward = trained(FAMILIES[family](layers=3))
    scores = pair_scores(reward, PairSet(reward.roles, tiny_tokenizer(), pairs(24)[16:], 200))
    assert float((scores[:, 0] > scores[:, 1]).float().mean()) >= 0.9


def test_scores_do_not_depend_on_the_batch_or_on_cached_states():
    reward = trained(tiny_llama(layers=3))
    held = PairSet(reward.roles, tiny_tokenizer(), pairs(), 200)
    once, again, single = pair_scores(reward, held), pair_scores(reward, held), pair_scores(reward, held, batch_size=1)
    torch.testing.assert_close(once, again)
    torch.testing.assert_close(once, single, atol=1e-5, rtol=1e-4)


def test_normalised_scores_have_mean_0_and_deviation_1():
    reward = trained(tiny_llama(layers=3))
    examples = [Example([1, 2, 3 + i, 4], 2) for i in range(30)]
    normalise(reward, examples)
    scores = torch.tensor(score_examples(reward, examples))
    assert float(scores.mean()) == pytest.approx(0, abs=1e-4) and float(scores.std()) == pytest.approx(1, abs=1e-3)


def test_it_comes_back_from_disk_as_it_was(tmp_path):
    examples = [Example([1, 2, 3, 4, 5 + i], 2) for i in range(5)]
    expected = []
    for which in MODELS:
        reward = trained(tiny_llama(layers=3), which)
        normalise(reward, examples)
        reward.save(tmp_path / which)
        expected.append(score_examples(reward, examples))
    (tmp_path / FACTS).write_text(json.dumps({"layer": 2, "r": 4, "targets": "all-linear"}))
    found = score_with_both(tmp_path, tiny_llama(layers=3), examples, lambda _: None)
    for i, (first, second) in enumerate(found):
        assert first == pytest.approx(expected[0][i], abs=1e-4) and second == pytest.approx(expected[1][i], abs=1e-4)
    with pytest.raises(MigakiError, match="another model.*migaki align"):
        open_reward_model(tmp_path, Roles(tiny_llama(layers=3), 1), "r", "first")
    with pytest.raises(MigakiError, match="another model"):
        open_reward_model(tmp_path, Roles(tiny_llama(layers=3, hidden=48), 2), "r", "first")


def test_a_margin_pushes_the_sides_further_apart():
    def gap(margin):
        roles = Roles(tiny_llama(layers=3), 2)
        roles.add("r", 4, "attention", 0)
        reward = RewardModel(roles, "r", scalar_head(32, 0))
        settings = SETTINGS.model_copy(update={"reward_margin": True, "reward_epochs": 6, "reward_centering": 0.0})
        own = PairSet(roles, tiny_tokenizer(), pairs(margin=margin), 200)
        train_reward_model(reward, own, settings, lambda *_: None)
        scores = pair_scores(reward, own)
        return float((scores[:, 0] - scores[:, 1]).mean())

    assert gap(3.0) > gap(0.0)


def test_long_pairs_are_left_out_and_counted():
    own = PairSet(
        Roles(tiny_llama(layers=3), 2),
        tiny_tokenizer(),
        [*pairs(4), pairs(1)[0].__class__("x", [{"role": "user", "content": "q" * 300}], "a", "b", "en", "t")],
        100,
    )
    assert (len(own), own.left_out) == (4, 1)


def test_fewer_pairs_than_a_batch_are_refused():
    with pytest.raises(MigakiError, match=r"fewer than a batch.*--preferences.*run\.align=false"):
        _halves(pairs(6), SETTINGS)


@pytest.mark.parametrize(
    ("window", "said"),
    [(None, "reward_max_tokens = 20 tokens long.*raise it, or give shorter pairs"), (9, "window of 9 tokens long.*shorter pairs")],
)
def test_pairs_that_are_too_long_are_refused_by_what_bounds_them(window, said):
    roles, settings = Roles(tiny_llama(), 2), SETTINGS.model_copy(update={"reward_max_tokens": 20})
    roles.base.config.sliding_window = window
    roles.add("first", 4, "attention", 0)
    reward = RewardModel(roles, "first", scalar_head(roles.hidden_size, 0))
    long = [replace(pair, chosen="yes " * 20) for pair in pairs()]
    with pytest.raises(MigakiError, match=f"^0 pairs are at most .*{said}$"):
        _fit(reward, PairSet(roles, tiny_tokenizer(), long, 20), settings, "first", None)


def test_the_last_token_is_found_by_the_mask_when_padding_is_the_end_token():
    reward = trained(tiny_llama(layers=3))
    examples = [Example([9, 8, 256], 1), Example([9, 8, 7, 6, 5, 256], 1)]
    together = reward.score(collate(examples, [0, 1], pad_id=256))
    assert float(together[0]) == pytest.approx(float(reward.score(collate(examples, [0], pad_id=0))[0]), abs=1e-5)


def test_the_result_does_not_depend_on_the_micro_batch():
    def after(micro):
        settings = SETTINGS.model_copy(update={"reward_micro_pairs": micro, "reward_epochs": 1, "reward_learning_rate": 1e-3})
        return torch.cat([tensor.flatten() for tensor in trained(tiny_llama(layers=3), settings=settings).roles.state("first").values()])

    torch.testing.assert_close(after(4), after(1), atol=2e-4, rtol=0)


def test_that_an_answer_without_its_end_is_worse_can_be_taught():
    # Here the shorter answer is preferred, so that one which only breaks off seems no worse.
    short = [replace(pair, chosen=f"yes {i} it is", rejected=f"yes {i} it is so so so so so") for i, pair in enumerate(pairs())]
    gap = {}
    for share in (0.0, 1.0):
        roles = Roles(tiny_llama(layers=3), 2)
        roles.add("first", 4, "all-linear", 0)
        reward = RewardModel(roles, "first", scalar_head(roles.hidden_size, 0))
        train_reward_model(reward, PairSet(roles, tiny_tokenizer(), short, 200, share), SETTINGS, lambda *_: None)
        cut = PairSet(roles, tiny_tokenizer(), short, 200, 1.0, seed=1)
        assert len(cut) == 32 and cut.cut == 16
        for i in range(16, 32):
            chosen, rejected = cut.sides[2 * i], cut.sides[2 * i + 1]
            assert rejected.ids == chosen.ids[: len(rejected.ids)] and chosen.answer_start < len(rejected.ids) < len(chosen.ids) - 1
        scores = pair_scores(reward, cut)[16:]
        gap[share] = float((scores[:, 0] > scores[:, 1]).float().mean())
    assert gap[1.0] > 0.9 > gap[0.0]
