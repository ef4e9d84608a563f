"""Frozen trunks in fewer bits, whose supervised adapters stay unmerged: beside the weights instead of in them.

A merge into 4-bit weights (QLoRA, Dettmers et al. 2023) or into bfloat16 would round away most of what an adapter changes. What such a trunk
learnt before RLHF is therefore added to the output of each layer it belongs to, as a fixed part of the trunk: every role acts on top of it,
and the model without roles, the reference, has it too.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.errors import MigakiError
from tasks.models.beside import require_mergeable
from tasks.models.loader import frozen
from tasks.models.lora import lora_layers
from tasks.models.merged import load_trunk
from tasks.models.quantized import make_variant, quantized_layers
from tasks.models.soft_prompts import kind_of


def load_unmerged(path: Path, adapters: Sequence[Path], trunk: str, device: str = "cpu", trained_on: str = "float32") -> PreTrainedModel:
    """The model of a folder as a frozen "bfloat16" or "nf4" trunk, with LoRA adapters (PEFT folders) unmerged on it.

    NF4 leaves embeddings, norms and head as they are, and computes in bfloat16 on a GPU, in float32 on a CPU.

    Args:
        trained_on: the trunk of the adapters, as `load_merged` has it.

    Raises:
        MigakiError: the folder holds no model that can be opened so.
    """
    if trunk == "nf4":
        model = make_variant("nf4", path, 0.0, device, torch.float32 if device == "cpu" else torch.bfloat16)
        for name in quantized_layers(model):
            # Where a processor multiplies bfloat16, bitsandbytes does so in inference and not in training: the policy that samples would not be
            # the one that is scored.
            layer: Any = model.get_submodule(name)
            layer.support_avx512bf16_for_cpu = False
    else:
        model = load_trunk(path, trained_on, trunk, device)
    for adapter in adapters:
        model = _attach_unmerged(model, adapter)
    return frozen(model)


def _attach_unmerged(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """Raises MigakiError for an adapter that has no place beside the weights."""
    require_mergeable(adapter)
    if kind_of(adapter) != "LORA":
        raise MigakiError(
            f"an adapter of the kind {kind_of(adapter)} can only be merged: accepted is align.trunk = float32, or tune.method = lora or qlora"
        )
    wrapped = PeftModel.from_pretrained(model, adapter)
    if cast(LoraConfig, wrapped.peft_config["default"]).use_dora:
        raise MigakiError("what tune.dora learnt can only be merged: accepted is align.trunk = float32, or tune.dora = false")
    for layer in lora_layers(wrapped):
        if "default" not in layer.lora_A:  # of embeddings
            raise MigakiError(
                "an adapter on embeddings can only be merged, which a trunk in fewer bits would round away: accepted are align.trunk = float32, "
                "or tune.lora_targets without embeddings"
            )
        down, up = (cast(nn.Linear, part["default"]).weight.detach() for part in (layer.lora_A, layer.lora_B))
        layer.get_base_layer().register_forward_hook(_adds_low_rank(down, layer.scaling["default"] * up))
    return cast(PreTrainedModel, wrapped.unload())


def _adds_low_rank(down: Tensor, up: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    """A hook that adds x A^T B^T to what a layer makes of x (..., in); A is (rank, in), B (out, rank)."""

    def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + (inputs[0].to(down.dtype) @ down.T @ up.T).to(output.dtype)

    return add
