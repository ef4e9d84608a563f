"""Adapters put into a model for good: merged into its weights where they are a change of weights, and beside them where they are not."""

from pathlib import Path
from typing import Any, cast

import torch
from bitsandbytes.functional import dequantize_4bit
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tasks.errors import MigakiError
from tasks.models import bottleneck
from tasks.models.folders import refuse_unsafe
from tasks.models.loader import frozen, load_model
from tasks.models.quantized import make_variant, quantized
from tasks.models.soft_prompts import KINDS, kind_of, load_soft_prompt

NAMES = KINDS | {bottleneck.KIND: "adapter"}  # by kind, the `tune.method` that leaves an adapter which no weights can hold


def load_merged(path: Path, adapters: list[Path], dtype: str = "float32", device: str = "cpu", trunk: str = "float32") -> PreTrainedModel:
    """The model of a folder with adapters (PEFT folders) merged into its weights, one after the other.

    Args:
        trunk: what they were trained on. Of "nf4" the weights are what 4 bits kept of them, in `dtype`: merging a QLoRA adapter into the original
            ones would be another model than the one that was trained.

    Raises:
        MigakiError: an adapter cannot be merged.
    """
    model = load_trunk(path, trunk, dtype, device)
    for adapter in adapters:
        require_mergeable(adapter)
        model = cast(PreTrainedModel, PeftModel.from_pretrained(model, adapter).merge_and_unload())
    return frozen(model)


def load_beside(path: Path, adapters: list[Path], device: str = "cpu", trunk: str = "float32") -> nn.Module:
    """As `load_merged` in float32; where the last adapter cannot be merged, it stays beside the weights, and the model is whatever computes with both."""
    if not adapters or kind_of(adapters[-1]) not in NAMES:
        return load_merged(path, adapters, device=device, trunk=trunk)
    model = load_merged(path, adapters[:-1], device=device, trunk=trunk)
    refuse_unsafe(adapters[-1])
    if kind_of(adapters[-1]) in KINDS:
        return load_soft_prompt(model, adapters[-1])
    bottleneck.load_bottlenecks(model, adapters[-1])
    return frozen(model)


def require_mergeable(adapter: Path) -> None:
    """
    Raises:
        MigakiError: the adapter in this folder is no change of weights, or may hold code.
    """
    refuse_unsafe(adapter)
    if (kind := kind_of(adapter)) in NAMES:
        raise MigakiError(
            f"what tune.method = {NAMES[kind]} left cannot be merged into the weights, and this needs a merged model; accepted are models tuned by "
            "lora, qlora, ia3 or full"
        )


def load_trunk(path: Path, trunk: str, dtype: str, device: str) -> PreTrainedModel:
    """The model of a folder; of the trunk "nf4" each linear layer's weights are rounded to 4 bits and back."""
    if trunk != "nf4":
        return load_model(path, dtype, device)
    model = load_model(path, "float32", device)
    with torch.no_grad():
        for name, layer in quantized(make_variant("nf4", path, 0.0, device)):
            weight: Any = layer.weight
            kept: torch.Tensor = dequantize_4bit(weight.data, weight.quant_state)
            own = model.get_submodule(name)
            cast(torch.Tensor, own.weight).copy_(kept.T if isinstance(own, Conv1D) else kept)
    return cast(PreTrainedModel, model.to(getattr(torch, dtype)))
