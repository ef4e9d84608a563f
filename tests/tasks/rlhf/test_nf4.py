"""RLHF on a trunk in fewer bits (QLoRA): what tuning learnt stays beside the weights, roles act on top of it, and the trunk never changes."""

import json

import pytest
import torch
from peft import PeftModel

from tasks.models.lora import save_adapter
from tasks.models.merged import load_merged
from tasks.models.unmerged import load_unmerged
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.guards import Guards
from tasks.rlhf.participants import Participants
from tasks.rlhf.ppo import PPOTrainer, run_ppo
from tasks.rlhf.reward import FACTS, RewardModel, open_reward_model
from tasks.rlhf.roles import POLICY, Roles, scalar_head
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import PPOSettings
from tests.helpers.models import tiny_llama

IDS = torch.arange(2 * 9).reshape(2, 9)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """(folder of a base model, folder of a supervised adapter with an effect)."""
    folder = tmp_path_factory.mktemp("nf4")
    tiny_llama(layers=3, hidden=64).save_pretrained(folder / "base")
    roles = Roles(tiny_llama(layers=3, hidden=64), 1)
    with torch.no_grad():
        for parameter in roles.add("default", 4, "all-linear", 0):
            parameter.normal_(std=0.1)
    save_adapter(roles.model, "default", folder / "adapter")
    return folder / "base", folder / "adapter"


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_an_nf4_trunk_is_the_quantized_model_with_the_unmerged_adapter(tuned):
    base, adapter = tuned
    apart = PeftModel.from_pretrained(load_unmerged(base, [], "nf4"), adapter).eval()
    torch.testing.assert_close(logits(load_unmerged(base, [adapter], "nf4")), logits(apart), atol=1e-5, rtol=1e-5)
    assert (logits(load_unmerged(base, [], "nf4")) - logits(apart)).abs().max() > 1e-3


def test_a_bfloat16_trunk_is_near_the_merged_model(tuned):
    base, adapter = tuned
    merged = logits(load_merged(base, [adapter]))
    assert (logits(load_unmerged(base, [adapter], "bfloat16")).float() - merged).abs().max() < 0.05 * merged.abs().max()


@pytest.mark.parametrize("trunk", ["nf4", "bfloat16"])
def test_ppo_learns_on_it_and_leaves_it_as_it_was(tuned, trunk, tmp_path):
    base, adapter = tuned
    model = load_unmerged(base, [adapter], trunk)
    reference, before = logits(model), {name: weight.clone() for name, weight in model.state_dict().items()}
    roles = Roles(model, 2)
    roles.add("first", 4, "all-linear", 0)
    reward = RewardModel(roles, "first", scalar_head(roles.hidden_size, 0))
    settings = PPOSettings(updates=3, episodes=8, answer_tokens=6, learning_rate=0.01, length_limit=9, distinct_limit=1)
    rounds = []
    trainer = PPOTrainer(Participants(roles, Scorer(reward), {63}), CriticStart(reward, 4, "all-linear"), settings)
    policy, _ = run_ppo(trainer, [[i, i + 1] for i in range(8)], lambda figures, *_: rounds.append(figures), Guards(settings, str))
    assert abs(rounds[0].kl) < 1e-4 and rounds[-1].kl != 0
    assert max(figures.first_ratio_error for figures in rounds) < (1e-5 if trunk == "nf4" else 0.05)
    assert any(bool(weight.any()) for name, weight in policy.items() if "lora_B" in name)
    with roles.acting(None):
        torch.testing.assert_close(logits(roles.model), reference)
    after = {name.replace(".base_layer.", "."): weight for name, weight in roles.base.state_dict().items()}
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    roles.load_state(POLICY, policy)
    save_adapter(roles.model, POLICY, tmp_path / "adapter")
    assert logits(load_merged(base, [adapter, tmp_path / "adapter"])).isfinite().all()  # as the next stage takes it


def test_a_reward_model_comes_back_on_the_trunk_it_was_trained_on(tuned, tmp_path):
    base, adapter = tuned
    roles = Roles(load_unmerged(base, [adapter], "nf4"), 2)
    with torch.no_grad():
        for parameter in roles.add("first", 4, "all-linear", 0):
            parameter.normal_(std=0.1)
    reward = RewardModel(roles, "first", scalar_head(roles.hidden_size, 0), 0.5, 2.0)
    reward.save(tmp_path / "first")
    (tmp_path / FACTS).write_text(json.dumps({"layer": 2, "r": 4, "targets": "all-linear", "trunk": "nf4"}))
    again = open_reward_model(tmp_path, Roles(load_unmerged(base, [adapter], "nf4"), 2), "reward", "first")
    states, mask = torch.randn(2, 5, 64), torch.ones(2, 5, dtype=torch.long)
    torch.testing.assert_close(again.raw(states, mask), reward.raw(states, mask))
