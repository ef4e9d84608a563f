"""Matrix products in float32 on a CPU by the faster of the two libraries that torch brings.

torch hands them to MKL, which on processors that are not Intel's stays with its AVX2 kernels; oneDNN takes AVX-512 wherever it is, and so was
measured to be 2.3 times as fast there, forward and backward, at the same precision (benchmarks/linear.py). Which one computes is decided by the
processor's maker and never by a measurement, so that a run that goes on on the same machine gives the same bits.
"""

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn


def _maker() -> str:
    """The `vendor_id` of this machine's processor, empty where Linux does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def _onednn_is_faster() -> bool:
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and torch.backends.cpu.get_cpu_capability() == "AVX512" and _maker() not in ("", "GenuineIntel")


FASTER = _onednn_is_faster()


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b for x (..., K) and W (N, K), contiguous or transposed; outside of autograd."""
    plain = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu" and x.dim() > 1 and x.numel()
    if FASTER and plain and not torch.is_autocast_enabled("cpu"):
        rows = torch.ops.mkldnn._linear_pointwise(x.reshape(-1, x.shape[-1]), weight, bias, "none", [], "")
        # No view to autograd, since some families add to the result in place.
        out: Tensor = torch.ops.aten._unsafe_view(rows, [*x.shape[:-1], rows.shape[-1]])
        return out
    return nn.functional.linear(x, weight, bias)


def applied(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    """What a function with gradients of its own makes of the inputs (torch gives `apply` no types)."""
    output: Tensor = function.apply(*inputs)
    return output


class _Product(torch.autograd.Function):
    """`product` with its gradients, which are products again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight if x.requires_grad else None)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_x = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        of_weight = product(rows.t(), x.reshape(-1, x.shape[-1]).t()) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None


class FastLinear(nn.Linear):
    """torch's linear layer, computed by `product`."""

    def forward(self, x: Tensor) -> Tensor:
        learns = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        return applied(_Product, x, self.weight, self.bias) if learns else product(x, self.weight, self.bias)


Model = TypeVar("Model", bound=nn.Module)
PLAIN = (nn.Linear, FastLinear)  # the types, to the letter, of a layer that is nothing but a matrix (quantized ones are of subclasses)


def sped_up(model: Model) -> Model:
    """The model with its plain linear layers computed by `product`; weights, names and what is saved stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = FastLinear
    return model
