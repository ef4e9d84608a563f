"""Adapters put into a model for good: merged into its weights."""

from pathlib import Path
from typing import Any, cast

import torch
from bitsandbytes.functional import dequantize_4bit
from peft import PeftModel
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tasks.models.beside import require_mergeable
from tasks.models.loader import frozen, load_model
from tasks.models.quantized import make_variant, quantized


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
