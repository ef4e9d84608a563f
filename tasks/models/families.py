"""What is known of model families (architectures of transformers): how their modules are named, and which attend or store weights differently.

Supporting another family begins here. A family that is not in the table is taken for one of Llama's kind, which most are (Mistral, Qwen,
Gemma, ...), and refused by name where it turns out not to be.
"""

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.models.falcon import modeling_falcon

from tasks.errors import MigakiError

LAYER_LISTS = ("layers", "h")  # the decoder's list of layers: Llama and GPT-NeoX; GPT-2 and Falcon
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm")  # Llama; GPT-2 and Falcon; GPT-NeoX
POSITION_EMBEDDINGS = "wpe"  # GPT-2 adds learnt positions to the embeddings; in the others they are rotary, in every layer
LAYER_INDEX = re.compile(rf"(?:^|\.)(?:{'|'.join(LAYER_LISTS)})\.(\d+)(?:\.|$)")


@dataclass(frozen=True)
class Family:
    """The linear modules of a layer that LoRA can go on: `attention` makes query and value, `linear` are all of them."""

    attention: tuple[str, ...]
    linear: tuple[str, ...]
    fan_in_fan_out: bool = False  # weights are (in, out), not (out, in) as torch's linear layer has them


LLAMA = Family(("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))
FUSED_ATTENTION = Family(("query_key_value",), ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"))
FAMILIES = {  # by `model_type`
    "gpt2": Family(("c_attn",), ("c_attn", "c_proj", "c_fc"), fan_in_fan_out=True),
    "gpt_neox": FUSED_ATTENTION,
    "falcon": FUSED_ATTENTION,
}


def family_of(config: PretrainedConfig) -> Family:
    return FAMILIES.get(config.model_type, LLAMA)


def layer_list_name(decoder: nn.Module) -> str:
    """What the decoder calls its list of layers.

    Raises:
        MigakiError: none of `LAYER_LISTS`.
    """
    return _child(decoder, LAYER_LISTS, "list of layers")


def final_norm_name(decoder: nn.Module) -> str:
    """What the decoder calls the norm after its last layer.

    Raises:
        MigakiError: none of `FINAL_NORMS`.
    """
    return _child(decoder, FINAL_NORMS, "final norm")


def _child(module: nn.Module, names: tuple[str, ...], what: str) -> str:
    for name in names:
        if hasattr(module, name):
            return name
    raise MigakiError(f"{type(module).__name__} has no {what} named one of {', '.join(names)}: this architecture is not supported")


def layer_index(module: str) -> int | None:
    """The layer that a module or parameter of this name is in; None where it is in none."""
    match = LAYER_INDEX.search(module)
    return int(match[1]) if match else None


class _NoPositions(nn.Module):
    def forward(self, position_ids: Tensor) -> Tensor:
        return torch.zeros((), device=position_ids.device)


def without_position_embeddings(decoder: nn.Module) -> None:
    """Make a decoder that starts above its first layer add no positions: what enters it has them already."""
    if hasattr(decoder, POSITION_EMBEDDINGS):
        setattr(decoder, POSITION_EMBEDDINGS, _NoPositions())


def config_of_layers(config: PretrainedConfig, start: int, stop: int | None) -> PretrainedConfig:
    """A copy for a decoder of the layers [start, stop): families that mix kinds of attention look a layer's kind up by its position."""
    part = copy.copy(config)
    if getattr(config, "layer_types", None):
        part.layer_types = config.layer_types[start:stop]
    return part


def attention_kinds(config: PretrainedConfig) -> set[str]:
    """The kinds of attention among a model's layers, by their names in transformers."""
    text = config.get_text_config()
    if getattr(text, "layer_types", None):
        return set(text.layer_types)
    return {"sliding_attention" if sliding_window(text) else "full_attention"}


def sliding_window(config: PretrainedConfig) -> int | None:
    """Tokens that layers of the kind `sliding_attention` see; None where there are none."""
    return getattr(config, "sliding_window", None)


def has_alibi(config: PretrainedConfig) -> bool:
    """Whether attention scores fall with the distance in the sequence (some of Falcon), instead of tokens having positions of their own."""
    return bool(getattr(config, "alibi", False))


def context_length(config: PretrainedConfig) -> int | None:
    """Tokens of prompt and answer that the model can take in at once, where its configuration says so."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def stated_context_length(folder: Path) -> int | None:
    """The same, read from the configuration in a model's folder; None where it leaves that to the architecture's default."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    length: int | None = config.get("max_position_embeddings") or config.get("n_positions")  # the latter in GPT-2's
    return length


def key_value_width(config: PretrainedConfig) -> int:
    """Numbers that the key-value cache keeps of a token in a layer, of the keys alone."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width: int = heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    return width


def let_falcon_be_quantized() -> None:
    """Make Falcon use torch's linear layer.

    Its own computes the same, but transformers 5.23 hands only torch's to bitsandbytes, so that Falcon would stay as wide as it is.
    """
    module: Any = modeling_falcon
    module.FalconLinear = nn.Linear
