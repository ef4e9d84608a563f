"""PPO as a whole on tiny random models: it learns, it is deterministic, it stays near the reference when told to, and it stops at its limits."""

import pytest
import torch

from tasks.errors import MigakiError
from tasks.models.batching import Batch, Example, collate
from tasks.models.likelihood import target_logprobs
from tasks.models.trunk import causal_lm
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.guards import Guards, alarm
from tasks.rlhf.participants import Participants
from tasks.rlhf.ppo import PPOTrainer, run_ppo
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import POLICY, Roles, scalar_head
from tasks.rlhf.rounds import Progress
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import PPOSettings
from tests.helpers.models import FAMILIES, tiny_llama

WANTED = 42
PROMPTS = [[i, i + 1, i + 2] for i in range(20)]


class CountReward(RewardModel):
    """How often one token stands in the answer, in place of a learned score."""

    def score(self, batch: Batch, states=None) -> torch.Tensor:
        return torch.tensor([float((part == WANTED).sum()) for part in batch.targets.split(batch.answer_tokens.tolist())])


def speaker() -> torch.nn.Module:
    """A tiny model whose words depend on its states: a random head is too weak for any policy to be far from uniform."""
    model = tiny_llama(vocab=64, layers=3)
    model.lm_head.weight.mul_(10)
    return model


def trainer_for(model=None, reward=CountReward, watcher=None, end=frozenset({63}), **settings) -> PPOTrainer:
    roles = Roles(model or speaker(), 2)
    roles.add("reward", 4, "attention", 0)
    chosen = PPOSettings(
        **{
            "updates": 30,
            "episodes": 16,
            "answer_tokens": 8,
            "learning_rate": 0.02,
            "critic_learning_rate": 0.01,
            "kl_coef": 0.0,
            "kl_limit": 1e9,
            "missing_end_penalty": 0.0,
            "length_limit": 1e9,
            "distinct_limit": 1.0,
            "epochs": 2,
            "minibatches": 2,
        }
        | settings
    )
    first = reward(roles, "reward", scalar_head(32, 0))
    watcher = watcher and watcher(roles, "reward", scalar_head(32, 1))
    return PPOTrainer(Participants(roles, Scorer(first), set(end), watcher), CriticStart(first, 4, "attention"), chosen)


def run(trainer: PPOTrainer):
    rounds = []
    policy, ending = run_ppo(trainer, PROMPTS, lambda figures, *_: rounds.append(figures), Guards(trainer.settings, str))
    return rounds, policy, ending


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_reward_rises(seed):
    rounds, _, ending = run(trainer_for(seed=seed))
    first, last = sum(r.score for r in rounds[:5]) / 5, sum(r.score for r in rounds[-5:]) / 5
    assert last > first + 0.5 and ending == "all updates done"


@pytest.mark.slow
def test_a_large_kl_weight_keeps_the_policy_at_the_reference():
    held, free = (run(trainer_for(kl_coef=beta, learning_rate=3e-4, updates=40))[0] for beta in (100.0, 0.0))
    assert abs(sum(r.kl for r in held[-10:]) / 10) < 0.01 < sum(r.kl for r in free[-10:]) / 10


def test_first_ratio_is_one_and_runs_repeat():
    (a, policy_a, _), (b, policy_b, _) = (run(trainer_for(updates=3)) for _ in range(2))
    assert max(r.first_ratio_error for r in a) < 1e-5
    assert a == b
    assert all(torch.equal(policy_a[name], policy_b[name]) for name in policy_a)


def test_the_result_does_not_depend_on_the_micro_batch():
    (whole, _, _), (cut, _, _) = run(trainer_for(updates=2, micro_batch=16)), run(trainer_for(updates=2, micro_batch=3))
    for a, b in zip(whole, cut, strict=True):
        assert (
            a.policy_loss == pytest.approx(b.policy_loss, abs=1e-5)
            and a.value_loss == pytest.approx(b.value_loss, rel=1e-4)
            and a.score == b.score
        )


def test_the_kl_limit_keeps_the_policy_from_before():
    trainer = trainer_for(kl_limit=0.05, updates=30)
    rounds, policy, ending = run(trainer)
    assert "over align.kl_limit" in ending and rounds[-1].kl > 0.05 and len(rounds) < 31
    current = trainer.roles.state(POLICY)
    assert any(not torch.equal(policy[name], current[name]) for name in policy)


def test_nan_stops_and_says_where():
    class Broken(CountReward):
        def score(self, batch, states=None):
            return super().score(batch) * float("nan")

    with pytest.raises(MigakiError, match="at update 1"):
        run(trainer_for(reward=Broken, updates=2))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_a_round_and_the_base_stays_as_it_was(family):
    model = FAMILIES[family](layers=3)
    before = {name: weight.clone() for name, weight in causal_lm(model).state_dict().items()}
    trainer = trainer_for(model, updates=2)
    rounds, _, _ = run(trainer)
    assert rounds[0].kl == pytest.approx(0, abs=1e-4) and rounds[-1].kl != 0
    after = causal_lm(trainer.roles.model).state_dict()
    for name, weight in before.items():
        known = name if name in after else name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias")
        assert torch.equal(after[known], weight)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_enters_a_layer_halfway_leads_to_the_same_end(family):
    roles = Roles(FAMILIES[family](layers=4), 1)
    with torch.no_grad():
        for parameter in roles.add("critic", 4, "all-linear", 0):
            parameter.normal_(std=0.1)
    batch = collate([Example([1, 2, 3, 4, 5], 2), Example([9, 8, 7], 2)], [0, 1], 0)
    states = roles.states(batch)
    halfway = roles.between("critic", states, batch.mask, 3)
    whole, cut = roles.final("critic", states, batch.mask), roles.final("critic", halfway, batch.mask, 3)
    torch.testing.assert_close(whole[batch.mask.bool()], cut[batch.mask.bool()])
    assert len(roles.parameters("critic", 3)) * 3 == len(roles.parameters("critic"))


def test_a_critic_learns_in_its_own_layers_alone():
    trainer = trainer_for(tiny_llama(vocab=64, layers=6), updates=2, critic_fraction=1 / 3)
    before = trainer.roles.state("critic")
    run(trainer)
    changed = {name for name, weight in trainer.roles.state("critic").items() if not torch.equal(weight, before[name])}
    assert changed and all(".5." in name or ".4." in name for name in changed)


def test_a_critic_of_its_head_alone_learns_that_and_nothing_else():
    trainer = trainer_for(tiny_llama(vocab=64, layers=6), updates=2, critic_fraction=0)
    before, head = trainer.roles.state("critic"), trainer.critic.head.weight.detach().clone()
    values = trainer.sample_round(1, PROMPTS[:4])[0]
    batch = values.batch
    whole = trainer.critic.head(trainer.roles.final("critic", values.states, batch.mask)[batch.predicts])[:, 0]
    torch.testing.assert_close(values.values[values.mask.bool()], whole)
    run(trainer)
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.roles.state("critic").items())
    assert not torch.equal(trainer.critic.head.weight, head)


def test_padding_changes_no_logprob():
    roles = Roles(tiny_llama(), 2)
    examples = [Example([1, 2, 3, 4, 5], 2), Example([9, 8, 7, 256, 256, 256, 5, 4], 3)]
    together = collate(examples, [0, 1], pad_id=256)

    def logprobs(batch):
        return target_logprobs(roles.head, roles.final(None, roles.states(batch), batch.mask)[batch.predicts], batch.targets)

    flat = logprobs(together)
    for row, part in zip((0, 1), flat.split(together.answer_tokens.tolist()), strict=True):
        alone = collate(examples, [row], pad_id=0)
        torch.testing.assert_close(part, logprobs(alone))


def test_a_run_that_goes_on_from_any_round_is_the_run_that_was_never_stopped(tmp_path):
    states = []
    whole = trainer_for(updates=5, kl_control="adaptive")
    rounds = []
    policy, _ = run_ppo(
        whole,
        PROMPTS,
        lambda figures, *_: rounds.append(figures),
        Guards(whole.settings, str),
        keep=lambda state: states.append(torch.save(state, tmp_path / f"{len(states)}.pt")),
    )
    for k in (0, 2, 5):
        state = torch.load(tmp_path / f"{k}.pt", weights_only=True)
        again = trainer_for(updates=5, kl_control="adaptive")
        again.load_state(state["trainer"])
        progress, guards, later = Progress.from_state(state["progress"]), Guards(again.settings, str, state["guards"]), []
        resumed, _ = run_ppo(again, PROMPTS, lambda figures, *_: later.append(figures), guards, progress)
        assert later == rounds[k + 1 :]
        assert all(torch.equal(policy[name], resumed[name]) for name in policy)
        assert all(torch.equal(a, b) for a, b in zip(whole.critic.parameters, again.critic.parameters, strict=True))


class Longer(RewardModel):
    """A reward that can be hacked: whoever says more gets more."""

    def score(self, batch, states=None):
        return batch.answer_tokens.float()


class Brevity(RewardModel):
    """What people wanted all along: a second opinion that never steers."""

    def score(self, batch, states=None):
        return -batch.answer_tokens.float()


def test_the_alarm_rings_for_a_planted_reward_that_can_be_hacked():
    def answers_of(reward):
        trainer = trainer_for(reward=reward, watcher=Brevity, updates=24, answer_tokens=16, learning_rate=0.05, end=range(56, 64))
        rounds, _, _ = run(trainer)
        return alarm([r.score for r in rounds], [r.second_score for r in rounds])

    assert answers_of(Longer).startswith("reward hacking")
    assert answers_of(Brevity) is None


def test_a_reward_for_length_is_stopped_and_the_policy_from_before_is_kept():
    trainer = trainer_for(reward=Longer, updates=40, length_limit=0.3, learning_rate=0.05, answer_tokens=16, end={*range(56, 64)})
    rounds, policy, ending = run(trainer)
    assert "align.length_limit" in ending and len(rounds) < 41
    assert any(not torch.equal(weight, trainer.roles.state(POLICY)[name]) for name, weight in policy.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_for_decoding_a_role_says_the_same_and_the_weights_come_back_bit_for_bit(family):
    roles = Roles(FAMILIES[family](layers=3), 2)
    with torch.no_grad():
        for parameter in roles.add("policy", 4, "all-linear", 0) + roles.add("other", 4, "all-linear", 1):
            parameter.normal_(std=0.1)
    before = {name: weight.clone() for name, weight in roles.model.state_dict().items()}
    ids = torch.arange(8)[None]
    with roles.acting("policy"):
        adapted = roles.model(input_ids=ids).logits
    with roles.merged("policy") as model:
        torch.testing.assert_close(model(input_ids=ids).logits, adapted, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(weight, before[name]) for name, weight in roles.model.state_dict().items())
    with roles.acting("policy"):
        assert torch.equal(roles.model(input_ids=ids).logits, adapted)
