"""Estimators of KL(policy || reference) from samples of the policy, and what sets the weight of its penalty."""

from typing import Literal

import torch
from torch import Tensor

from tasks.rlhf.settings import PPOSettings


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor, estimator: Literal["k1", "k3"] = "k1") -> Tensor:
    """Per-token estimates (nats) from log-probabilities of sampled tokens, any shape (Schulman 2020, "Approximating KL divergence").

    k1 = log p - log q is unbiased and may be negative; k3 = q/p - 1 - log(q/p) is unbiased and never negative.
    """
    log_ratio = logprobs - reference_logprobs
    return log_ratio if estimator == "k1" else torch.expm1(-log_ratio) + log_ratio


class FixedKLController:
    """The penalty's weight stays what it was set to."""

    def __init__(self, coefficient: float):
        self.value = coefficient

    def update(self, kl: float, episodes: int) -> None:
        """Nothing follows from the KL."""


class AdaptiveKLController:
    """Raises the weight while the KL is above its target, lowers it below (Ziegler et al. 2019, section 2.2)."""

    def __init__(self, coefficient: float, target: float, horizon: int):
        self.value, self.target, self.horizon = coefficient, target, horizon

    def update(self, kl: float, episodes: int) -> None:
        """`kl` in nats per answer, over `episodes` answers."""
        error = min(0.2, max(-0.2, kl / self.target - 1))
        self.value *= 1 + error * episodes / self.horizon


def kl_controller(settings: PPOSettings) -> FixedKLController | AdaptiveKLController:
    if settings.kl_control == "adaptive":
        return AdaptiveKLController(settings.kl_coef, settings.kl_target, settings.kl_horizon)
    return FixedKLController(settings.kl_coef)
