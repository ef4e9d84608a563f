"""Rewards per token, advantages and returns. All matrices are (B, L), answers from their first token on, padded on the right under a mask."""

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum()


def whiten(values: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Values with variance 1 over the masked entries of the whole batch, and mean 0 unless `shift_mean` is False. Zero outside the mask."""
    mean = masked_mean(values, mask)
    scaled = (values - mean) * torch.rsqrt(masked_mean((values - mean) ** 2, mask) + 1e-8)
    return (scaled if shift_mean else scaled + mean) * mask


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """(B, L): minus the KL penalty on every token, and the score (B,) on the last one (Ziegler et al. 2019, eq. 2)."""
    rewards = -kl_coef * kl * mask
    last = mask.sum(-1).long() - 1
    rewards[torch.arange(len(scores)), last] += scores
    return rewards


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """(advantages, returns), both (B, L): generalized advantage estimation (Schulman et al. 2016, eq. 16). An answer's end is the episode's end."""
    advantages = torch.zeros_like(rewards)
    following = torch.zeros(len(rewards), device=rewards.device)
    for t in reversed(range(rewards.shape[1])):
        inside = mask[:, t + 1] if t + 1 < rewards.shape[1] else torch.zeros_like(following)
        next_value = values[:, t + 1] * inside if t + 1 < rewards.shape[1] else torch.zeros_like(following)
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = (delta + gamma * lam * following * inside) * mask[:, t]
        advantages[:, t] = following
    return advantages, (advantages + values) * mask
