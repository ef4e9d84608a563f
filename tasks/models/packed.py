"""Linear layers through oneDNN with weights packed once, in float32 or, where the processor multiplies it, in bfloat16.

The operators are those that torch.compile writes into its frozen graphs; calling them directly needs no compiler. For inference alone: they
bring no gradient. `tasks.models.linear` does so for models that learn, whose weights cannot be packed: for the few tokens of a question, or of
a step of decoding, reordering the weights at each call takes longer than the product (benchmarks/linear.py).
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from tasks.models.linear import PLAIN

ROWS = 1024  # tokens that the packing is tuned for; any number is right
Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


@cache
def packed_product() -> Product:
    """x W' + b for a packed W. A script, because tracing does not take the operator's empty list."""
    return torch.jit.script(_product)


class PackedLinear(nn.Module):
    """What a linear layer computes, (..., in) to (..., out), its products in `dtype` (the layer's own, if none is given), which its output has too."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear, dtype: torch.dtype | None = None):
        super().__init__()
        weight, bias = linear.weight.detach(), linear.bias
        self.dtype = dtype or weight.dtype
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(weight.to(self.dtype), ROWS), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach().to(self.dtype), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return packed_product()(x.to(self.dtype), self.weight, self.bias)


def can_pack(dtype: torch.dtype = torch.float32) -> bool:
    """Whether this build of PyTorch has oneDNN and its operators, and oneDNN products of this type on this processor."""
    there = torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )
    return there and (dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16 (AVX-512 BF16 or AMX); elsewhere they are slower than those of float32."""
    return can_pack(torch.bfloat16) and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@torch.inference_mode()
def pack_linear(model: nn.Module, head: nn.Module | None = None) -> int:
    """Put a packed layer in the place of every plain linear layer on the CPU; the number of layers changed, 0 where oneDNN is missing.

    Args:
        head: a layer whose products are in float32 whatever its type: logits of likely tokens differ by less than bfloat16 can tell apart.
    """
    plain = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear) and type(child) in PLAIN and child.weight.device.type == "cpu" and can_pack(child.weight.dtype)
    ]
    for parent, name, child in plain:
        setattr(parent, name, PackedLinear(child, torch.float32 if child is head else None))
    return len(plain)
