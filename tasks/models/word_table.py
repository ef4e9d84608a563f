"""Word tables held small: 4 bits a value where the table holds no more than that, else 8 bits.

A multilingual embedder's table of 250,000 rows is four fifths of its weights, 384 MB in float32, and a text looks up a few hundred of them.

A table that came from blocks of GGML's Q4_0 lies on 16 levels per block of 32 values, the outermost being -8 times the scale. The levels
and the scale are told from the values, also from those rounded to float16, so in 4 bits nothing is lost; it is even what the file said
before the rounding. Any other table is rounded to 8 bits with a scale per block of 32, half a level off at most: cosine of the vectors
0.9999 or more.
"""

from itertools import takewhile
from pathlib import Path

import torch
from safetensors import safe_open
from threadpoolctl import threadpool_limits
from torch import nn

BLOCK = 32  # values that share a scale
LARGE = 50 * 10**6  # bytes in float32 from which a table is packed
ROWS = 1 << 9  # packed at once: the steps in between stay in the cache
ROUNDED = 2**-10  # relative error of a float16 that was rounded twice


class PackedTable(nn.Module):
    """Rows of a table by their numbers, (...) to (..., width) in `dtype`, from bytes that hold one value or two.

    Plain operators alone, which a trace and an export to ONNX keep as they are.
    """

    codes: torch.Tensor
    scales: torch.Tensor

    def __init__(self, codes: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype):
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)  # (rows, width) int8, or (rows, width / 2) uint8
        self.register_buffer("scales", scales, persistent=False)  # (rows, width / BLOCK) float16
        self.dtype, self.blocks = dtype, scales.shape[1]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        codes, scales = nn.functional.embedding(ids, self.codes).float(), nn.functional.embedding(ids, self.scales).float()
        if self.codes.dtype == torch.uint8:
            high = torch.floor(codes / 16)  # in float32, since ONNX Runtime has no such operators for bytes
            codes = torch.stack([codes - 16 * high, high], -2) - 8
            codes = codes.unflatten(-1, (self.blocks, BLOCK // 2)).transpose(-3, -2)
        values = codes.reshape(*ids.shape, self.blocks, BLOCK) * scales.unsqueeze(-1)
        return values.flatten(-2).to(self.dtype)


@torch.inference_mode()
def packed_table(table: torch.Tensor, dtype: torch.dtype) -> PackedTable:
    """A table (rows, width) of any float type, its width a multiple of BLOCK."""
    parts = table.split(ROWS)
    with threadpool_limits(
        1, user_api="openmp"
    ):  # parts this small are faster alone than waiting for each other, seconds where others work too
        pairs = [pair for pair in takewhile(lambda pair: pair is not None, map(_levels, parts)) if pair]
        if len(pairs) < len(parts):
            pairs = [_rounded(part) for part in parts]
    return PackedTable(torch.cat([codes for codes, _ in pairs]), torch.cat([scales for _, scales in pairs]), dtype)


def stored_dtype(folder: Path) -> torch.dtype:
    """float16 where that is what all weights in a folder's model.safetensors are, else float32."""
    file = folder / "model.safetensors"
    if not file.is_file():
        return torch.float32
    with safe_open(file, "pt") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    return torch.float16 if kinds == {"F16"} else torch.float32


def cast(model: nn.Module, dtype: torch.dtype) -> bool:
    """Turn a model's floats into `dtype`, and on the CPU put a packed table in the place of a large one; whether there was one."""
    for parent, name, child in [(above, *named) for above in model.modules() for named in above.named_children()]:
        if (
            type(child) is nn.Embedding
            and 4 * child.weight.numel() >= LARGE
            and child.weight.device.type == "cpu"
            and not child.weight.shape[1] % BLOCK
        ):
            packed = packed_table(child.weight.detach(), dtype)
            setattr(parent, name, nn.Identity())  # so that neither the table nor the scales are turned
            model.to(dtype)
            setattr(parent, name, packed)
            return True
    model.to(dtype)
    return False


def _blocks(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks (rows, blocks, BLOCK) in float32, and the value of each that is furthest from 0."""
    values = part.float().unflatten(1, (-1, BLOCK))
    low, high = values.aminmax(dim=2, keepdim=True)
    return values, torch.where(high > -low, high, low)


def _levels(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(codes, scales) of blocks that lie on 16 levels, None where they do not."""
    values, extreme = _blocks(part)
    scales = (extreme / -8).half()
    exact = values * torch.where(scales == 0, 0, 1 / scales.float())
    codes = exact.round().add_(8)
    low, high = codes.aminmax()
    # A level is off by its own rounding and by that of the scale, 8 levels' worth at most; where no scale is, all must be 0.
    if low < 0 or high > 15 or exact.add_(8).sub_(codes).abs_().max() > 8 * ROUNDED or extreme[scales == 0].any():
        return None
    small = codes.to(torch.uint8)
    return (small[..., : BLOCK // 2] | small[..., BLOCK // 2 :] << 4).flatten(1), scales.squeeze(2)


def _rounded(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values, extreme = _blocks(part)
    scales = (extreme.abs() / 127).half()
    codes = (values * torch.where(scales == 0, 0, 1 / scales.float())).round_().clamp_(-127, 127)
    return codes.to(torch.int8).flatten(1), scales.squeeze(2)
