"""The losses of RLHF as pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F

LOG_RATIO_LIMIT = 20.0  # e^20 is far outside any clip; beyond it the exponential overflows


def bradley_terry(
    chosen: Tensor, rejected: Tensor, margin: Tensor, weight: Tensor, centering: float = 0.0, tie: Tensor | None = None
) -> Tensor:
    """Weighted mean of -log sigmoid(r_chosen - r_rejected - margin) over pairs, all (B,) (Ouyang et al. 2022, eq. 1; margin: Llama 2, eq. 2),
    plus `centering` times the squared sum of both rewards (Eisenstein et al. 2023). A tie counts as half a preference for either side."""
    difference = chosen - rejected
    loss = -F.logsigmoid(difference - margin)
    if tie is not None:
        loss = torch.where(tie, -0.5 * (F.logsigmoid(difference) + F.logsigmoid(-difference)), loss)
    loss = loss + centering * (chosen + rejected) ** 2
    return (weight * loss).sum() / weight.sum()


def policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float) -> tuple[Tensor, Tensor, Tensor]:
    """PPO's clipped surrogate per token, any shape (Schulman et al. 2017, eq. 7): (loss, ratio, whether the clip decides)."""
    ratio = torch.exp((logprobs - old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return torch.maximum(plain, clipped), ratio, clipped > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared error per token, pessimistic within `clip` of the old value (the PPO implementation's value clipping)."""
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)
