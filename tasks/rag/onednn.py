"""Linear layers through oneDNN with weights packed once.

PyTorch sends fp32 matrix products to MKL, which takes its AVX2 kernels on processors that are not Intel's: measured on an AMD EPYC with
AVX-512, 108 GFLOP/s a core against oneDNN's 250 for the shapes of a small BERT. The operators are those that torch.compile writes into
its frozen graphs; calling them directly needs no compiler. For inference alone: they bring no gradient.

`tasks.models.linear` does so for models that learn, whose weights cannot be packed: for a question of a dozen tokens reordering them at each call
takes longer than the product (9.4 ms against 5.7).
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import nn

ROWS = 1024  # tokens that the packing is tuned for; any number is right
Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@cache
def packed_product() -> Product:
    """x W' + b for a packed W. A script, because tracing does not take the operator's empty list."""
    return torch.jit.script(_product)


class PackedLinear(nn.Module):
    """What a linear layer computes, (..., in) to (..., out)."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS), persistent=False)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return packed_product()(x, self.weight, self.bias)


def can_pack() -> bool:
    """Whether this build of PyTorch has oneDNN and its operators."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


@torch.inference_mode()
def pack_linear(model: nn.Module) -> int:
    """Put a packed layer in the place of every fp32 linear layer on the CPU; the number of layers changed, 0 where oneDNN is missing."""
    if not can_pack():
        return 0
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear and child.weight.dtype == torch.float32 and child.weight.device.type == "cpu"
    ]
    for parent, name, child in found:
        setattr(parent, name, PackedLinear(child))
    return len(found)
