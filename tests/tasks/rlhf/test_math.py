"""The identities behind PPO, each computed another way."""

import math

import pytest
import torch

from tasks.rlhf.advantage import gae, masked_mean, token_rewards, whiten
from tasks.rlhf.kl import AdaptiveKLController, FixedKLController, kl_estimate
from tasks.rlhf.losses import bradley_terry, policy_loss, value_loss
from tasks.rlhf.reward import accuracy_by_length, calibration, rank_correlation
from tasks.rlhf.roles import last_state, scalar_head
from tasks.rlhf.scoring import clipped_scores
from tasks.rlhf.settings import PPOSettings

torch.manual_seed(0)
MASK = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])


def test_kl_estimators():
    p, q = torch.rand(5).softmax(0), torch.rand(5).softmax(0)
    exact = float((p * (p / q).log()).sum())
    tokens = torch.multinomial(p, 200_000, replacement=True)
    for estimator in ("k1", "k3"):
        estimates = kl_estimate(p.log()[tokens], q.log()[tokens], estimator)
        assert float(estimates.mean()) == pytest.approx(exact, abs=4 * float(estimates.std()) / math.sqrt(len(tokens)))
    assert (kl_estimate(p.log(), q.log(), "k3") >= 0).all()
    assert (kl_estimate(p.log(), q.log(), "k1") < 0).any()
    assert kl_estimate(p.log(), p.log(), "k1").abs().max() == kl_estimate(p.log(), p.log(), "k3").abs().max() == 0


def test_score_lands_on_the_last_token_and_nothing_is_lost():
    scores, kl = torch.tensor([1.0, -2.0, 3.0]), torch.rand(3, 4) * MASK
    rewards = token_rewards(scores, kl, MASK, 0.1)
    torch.testing.assert_close(rewards.sum(-1), scores - 0.1 * kl.sum(-1))
    assert rewards[1, 1] == pytest.approx(-2.0 - 0.1 * float(kl[1, 1])) and rewards[1, 2:].abs().sum() == 0


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0)])
def test_gae_equals_the_double_sum(gamma, lam):
    rewards, values = torch.randn(3, 4) * MASK, torch.randn(3, 4)
    advantages, returns = gae(rewards, values, MASK, gamma, lam)
    for row, length in enumerate(MASK.sum(-1).int().tolist()):
        v = [*values[row, :length].tolist(), 0.0]
        deltas = [rewards[row, t].item() + gamma * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            expected = sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, length))
            assert advantages[row, t].item() == pytest.approx(expected, abs=1e-5)
            if lam == 1.0:
                future = sum(gamma ** (s - t) * rewards[row, s].item() for s in range(t, length))
                assert returns[row, t].item() == pytest.approx(future, abs=1e-5)
        assert advantages[row, length:].abs().sum() == 0


def test_whitening_ignores_padding():
    values = torch.randn(3, 4)
    whitened = whiten(values, MASK)
    assert float(masked_mean(whitened, MASK)) == pytest.approx(0, abs=1e-6)
    assert float(masked_mean(whitened**2, MASK)) == pytest.approx(1, abs=1e-5)
    wider = whiten(torch.cat([values, torch.full((3, 2), 99.0)], 1), torch.cat([MASK, torch.zeros(3, 2)], 1))
    torch.testing.assert_close(wider[:, :4], whitened)
    kept = whiten(values, MASK, shift_mean=False)
    assert float(masked_mean(kept, MASK)) == pytest.approx(float(masked_mean(values, MASK)), abs=1e-5)


def test_policy_loss_by_hand():
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])
    old, new = torch.zeros(4), torch.tensor([0.5, 1.5, 0.5, 1.5]).log()
    loss, ratio, clipped = policy_loss(new, old, advantages, 0.2)
    torch.testing.assert_close(ratio, torch.tensor([0.5, 1.5, 0.5, 1.5]))
    torch.testing.assert_close(loss, torch.tensor([-0.5, -1.2, 0.8, 1.5]))
    assert clipped.tolist() == [False, True, True, False]
    assert torch.isfinite(policy_loss(torch.tensor([500.0]), torch.tensor([-500.0]), torch.ones(1), 0.2)[0]).all()


def test_value_loss_by_hand():
    loss = value_loss(torch.tensor([1.0, 0.1]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]), 0.2)
    torch.testing.assert_close(loss, torch.tensor([0.5 * 0.64, 0.5 * 0.81]))  # the first is clipped to 0.2, though 1.0 would be right


def test_bradley_terry_by_hand():
    chosen, rejected, weight = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0])
    expected = (math.log(1 + math.exp(-2)) + 3 * math.log(1 + math.exp(1))) / 4
    assert float(bradley_terry(chosen, rejected, torch.zeros(2), weight)) == pytest.approx(expected)
    assert float(bradley_terry(chosen, rejected, torch.ones(2), weight)) > expected
    assert float(bradley_terry(chosen, rejected, torch.zeros(2), weight, 0.5)) == pytest.approx(expected + 0.5 * (4 + 3) / 4)


def test_adaptive_controller_by_hand():
    controller = AdaptiveKLController(0.1, target=4.0, horizon=100)
    seen = []
    for kl in (8.0, 4.4, 0.0):
        controller.update(kl, 16)
        seen.append(controller.value)
    assert seen == pytest.approx([0.1 * 1.032, 0.1 * 1.032 * 1.016, 0.1 * 1.032 * 1.016 * 0.968])
    fixed = FixedKLController(0.1)
    fixed.update(100.0, 16)
    assert fixed.value == 0.1


def test_scores_are_clipped_and_cut_answers_pay():
    settings = PPOSettings(score_clip=2.0, missing_end_penalty=0.5)
    assert clipped_scores(torch.tensor([5.0, 1.0, -7.0]), [True, False, False], settings).tolist() == [2.0, 0.5, -2.5]


def test_head_and_last_state():
    assert scalar_head(4000, 0).weight.std().item() == pytest.approx(4001**-0.5, rel=0.05)
    final, mask = torch.arange(12.0).reshape(2, 3, 2), torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert last_state(final, mask).tolist() == [[2.0, 3.0], [10.0, 11.0]]


def test_rank_correlation():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 2, 2], [1, 1, 5, 5]) == pytest.approx(1)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0


def test_calibration_compares_confidence_with_what_was_decided():
    sure, unsure = 4.0, 0.1
    scores = torch.tensor([[sure, 0.0], [sure, 0.0], [0.0, sure], [0.0, unsure]])
    low, high = calibration(scores, bins=5)
    assert low == (pytest.approx(1 / (1 + math.exp(-unsure))), 0.0, 1)
    assert high == (pytest.approx(1 / (1 + math.exp(-sure))), pytest.approx(2 / 3), 3)


def test_accuracy_by_length_shows_a_model_that_counts():
    lengths = [(10, 20), (20, 10), (10, 11), (30, 10)]
    scores = torch.tensor(lengths, dtype=torch.float32)
    assert accuracy_by_length(scores, lengths) == {"shorter": (0.0, 1), "alike": (0.0, 1), "longer": (1.0, 2)}
