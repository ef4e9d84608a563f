"""What turns final states into logits: the output embeddings, and what some families do to the logits after them."""

from typing import cast

import torch
from torch import Tensor, nn

from tasks.models.families import HeadScale


class Head(nn.Module):
    """States (..., H) after the last norm in, logits (..., V) out: `linear`, times `scale`, bent by `cap` (cap * tanh(logits / cap)).

    It shares `linear` with the model. Scale and cap are computed in the type of the logits, as the families' own code does.
    """

    def __init__(self, linear: nn.Module, what: HeadScale = HeadScale()):  # noqa: B008 - frozen
        super().__init__()
        self.linear, self.scale, self.cap = linear, what.scale, what.cap

    @property
    def weight(self) -> Tensor:
        """(V, H), the output embeddings."""
        return cast(Tensor, self.linear.weight)

    def forward(self, states: Tensor) -> Tensor:
        logits: Tensor = self.linear(states)
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def slope(self, logits: Tensor) -> Tensor | float:
        """Derivative of logits (..., V) by what `linear` gave them from: a number where it is the same for all."""
        return self.scale if self.cap is None else (logits / self.cap).square_().mul_(-self.scale).add_(self.scale)


def head_of(module: nn.Module) -> Head:
    """The module itself, or output embeddings taken for a head that does nothing more."""
    return module if isinstance(module, Head) else Head(module)
