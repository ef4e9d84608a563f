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
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")  # Llama; GPT-2, Falcon and Bloom; GPT-NeoX and OPT; Phi
POSITION_EMBEDDINGS = ("wpe", "embed_positions")  # GPT-2 and OPT add learnt positions to the embeddings; in most they are in every layer
EMBEDDING_NORMS = ("word_embeddings_layernorm",)  # Bloom's, between the embeddings and the first layer
EMBEDDING_PROJECTIONS = ("project_in", "project_out")  # OPT's, where embeddings are narrower than states
LAYER_INDEX = re.compile(rf"(?:^|\.)(?:{'|'.join(LAYER_LISTS)})\.(\d+)(?:\.|$)")


@dataclass(frozen=True)
class Family:
    """The linear modules of a layer that LoRA can go on: `attention` makes query and value, `linear` are all of them. `keys_values` makes keys and
    values (and queries where they are fused), and `leaving` are the last of attention and of the feed-forward part."""

    attention: tuple[str, ...]
    linear: tuple[str, ...]
    keys_values: tuple[str, ...]
    leaving: tuple[str, str]
    fan_in_fan_out: bool = False  # weights are (in, out), not (out, in) as torch's linear layer has them


KEYS_VALUES = ("k_proj", "v_proj")
LLAMA = Family(
    ("q_proj", "v_proj"),
    ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    KEYS_VALUES,
    ("o_proj", "down_proj"),
)
FUSED_ATTENTION = Family(
    ("query_key_value",), ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"), ("query_key_value",), ("dense", "dense_4h_to_h")
)
FAMILIES = {  # by `model_type`
    "gpt2": Family(("c_attn",), ("c_attn", "c_proj", "c_fc"), ("c_attn",), ("attn.c_proj", "mlp.c_proj"), fan_in_fan_out=True),
    "gpt_neox": FUSED_ATTENTION,
    "falcon": FUSED_ATTENTION,
    "bloom": FUSED_ATTENTION,
    "opt": Family(("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"), KEYS_VALUES, ("out_proj", "fc2")),
    "phi": Family(("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"), KEYS_VALUES, ("dense", "fc2")),
    "phi3": Family(("qkv_proj",), ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"), ("qkv_proj",), ("o_proj", "down_proj")),
    "starcoder2": Family(
        ("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"), KEYS_VALUES, ("o_proj", "c_proj")
    ),
}


# What is done to logits after the output embeddings, by `model_type`: the setting of the configuration that says how much. Granite's
# `logits_scaling` divides and HyperCLOVA X's multiplies, so that the name of a setting alone says nothing.
GRANITE = ("granite", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoeshared", "granitemoehybrid")
LOGITS_TIMES = {"cohere": "logit_scale", "cohere2": "logit_scale", "cohere2_moe": "logit_scale", "hyperclovax": "logits_scaling"}
LOGITS_DIVIDED_BY = dict.fromkeys(GRANITE, "logits_scaling")
LOGITS_CAPPED = dict.fromkeys(("gemma2", "gemma3_text", "vaultgemma"), "final_logit_softcapping")
# Whose decoders multiply what enters their first layer, be it embeddings of their own or states that were handed in. (Gemma's normalizer
# is no case of it: it is in the embeddings' own module, which states that are handed in do not pass.)
EMBEDDINGS_TIMES = dict.fromkeys((*GRANITE, "hyperclovax"), "embedding_multiplier")
LOGIT_SETTING = re.compile(r"(?=.*logit)(?=.*(?:scal|cap|multiplier))|lm_head_multiplier|output_multiplier|dim_model_base")
EMBEDDING_SETTING = re.compile(r"embedding_multiplier|scale_emb$|emb\w*_scale$|scale_embedding")
INSIDE_LAYERS = re.compile(r"att(?:n|ention)|router")  # settings of other logits than the model's


@dataclass(frozen=True)
class HeadScale:
    """Logits are multiplied by `scale`, then become cap * tanh(logits / cap) where there is a cap."""

    scale: float = 1.0
    cap: float | None = None


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


def head_scale(config: PretrainedConfig) -> HeadScale:
    """What the family does to the logits after its output embeddings.

    Raises:
        MigakiError: the configuration asks for something that is not known of this family.
    """
    times, divided, cap = (names.get(config.model_type) for names in (LOGITS_TIMES, LOGITS_DIVIDED_BY, LOGITS_CAPPED))
    text = config.get_text_config()  # a model that sees has its own head on a known family's decoder, so its own `model_type` counts
    _require_known(text, LOGIT_SETTING, {times, divided, cap}, "logits")
    scale = 1.0
    for name, power in ((times, 1), (divided, -1)):
        if name and getattr(text, name) is not None:
            scale *= getattr(text, name) ** power
    return HeadScale(scale, getattr(text, cap) if cap else None)


def require_known_embeddings(config: PretrainedConfig) -> None:
    """
    Raises:
        MigakiError: the configuration asks for a change of the embeddings that is not known of this family.
    """
    _require_known(config, EMBEDDING_SETTING, {EMBEDDINGS_TIMES.get(config.model_type)}, "embeddings")


def _require_known(config: PretrainedConfig, kind: re.Pattern[str], known: set[str | None], what: str) -> None:
    """Refuse settings of that kind that change something and of which it is not known how: some families compute them (so properties count)."""
    names = {name for name in {*vars(config), *dir(type(config))} if kind.search(name) and not INSIDE_LAYERS.search(name)}
    asked = {name: getattr(config, name) for name in sorted(names - known)}
    changing = [f"{name} = {value}" for name, value in asked.items() if value is True or value not in (None, False, 1)]
    if changing:
        raise MigakiError(
            f"models of the family {config.model_type!r} change their {what} by {', '.join(changing)}, which Migaki does not know how to follow: "
            "this architecture is not supported"
        )


class _NoPositions(nn.Module):
    """In the place of learnt positions, whatever these are called with."""

    def forward(self, positions: Tensor, *_: object, **__: object) -> Tensor:
        return torch.zeros((), device=positions.device)


def without_embedding(decoder: nn.Module) -> None:
    """Make a decoder that starts above its first layer leave what enters as it is: positions, norm and multiplier are in it already."""
    for name in POSITION_EMBEDDINGS:
        if hasattr(decoder, name):
            setattr(decoder, name, _NoPositions())
    for name in EMBEDDING_NORMS:
        if hasattr(decoder, name):
            setattr(decoder, name, nn.Identity())
    for name in set(EMBEDDINGS_TIMES.values()):
        if hasattr(decoder, name):
            setattr(decoder, name, 1.0)


def require_one_width(decoder: nn.Module) -> None:
    """
    Raises:
        MigakiError: embeddings and states differ in width (some of OPT).
    """
    for name in EMBEDDING_PROJECTIONS:
        if getattr(decoder, name, None) is not None:
            raise MigakiError(
                f"{type(decoder).__name__} has embeddings of another width than its states: this architecture is not supported"
            )


def config_of_layers(config: PretrainedConfig, start: int, stop: int | None) -> PretrainedConfig:
    """A copy for a decoder of the layers [start, stop): families that mix kinds of attention look a layer's kind up by its position.

    Raises:
        MigakiError: the family works its kinds out in a way that cannot be cut.
    """
    part = copy.copy(config)
    if getattr(config, "layer_types", None):
        try:
            part.layer_types = config.layer_types[start:stop]
        except AttributeError as cause:  # worked out from other settings (Mamba, Falcon H1)
            raise MigakiError(
                f"the kinds of layers of the family {config.model_type!r} cannot be cut: this architecture is not supported"
            ) from cause
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
    """Whether attention scores fall with the distance in the sequence (Bloom, some of Falcon), instead of tokens having positions of their own."""
    return config.model_type == "bloom" or bool(getattr(config, "alibi", False))


def context_length(config: PretrainedConfig) -> int | None:
    """Tokens of prompt and answer that the model can take in at once, where its configuration says so."""
    length: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length and length - getattr(config, "virtual_tokens", 0)  # tasks.models.virtual_tokens


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
