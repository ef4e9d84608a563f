"""What is known of families is true of their models."""

import pytest
import torch
from torch import nn
from transformers import FalconForCausalLM, Gemma3TextConfig, LlamaConfig, MistralConfig
from transformers.models.falcon.modeling_falcon import FalconMLP

import tasks.models.loader  # noqa: F401  (lets Falcon be quantized)
from tasks.errors import MigakiError
from tasks.models.families import (
    attention_kinds,
    config_of_layers,
    context_length,
    family_of,
    final_norm_name,
    key_value_width,
    layer_index,
    layer_list_name,
)
from tasks.models.trunk import decoder
from tests.helpers.models import FAMILIES, tiny_falcon


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_those_of_the_modules(family):
    model = FAMILIES[family](layers=3)
    body, known = decoder(model), family_of(model.config)
    assert len(getattr(body, layer_list_name(body))) == 3
    assert isinstance(getattr(body, final_norm_name(body)), nn.Module)
    matrices = {
        name: part for name, part in model.named_modules() if layer_index(name) == 1 and getattr(part, "weight", torch.empty(0)).dim() == 2
    }
    assert {name.rsplit(".", 1)[-1] for name in matrices} == set(known.linear) >= set(known.attention)
    transposed = type(next(iter(matrices.values()))).__name__ == "Conv1D"
    assert known.fan_in_fan_out == transposed
    assert context_length(model.config) == 512


def test_the_layer_of_a_name():
    assert layer_index("base_model.model.model.layers.12.self_attn.q_proj.lora_A.default.weight") == 12
    assert layer_index("transformer.h.3") == 3 and layer_index("h.0.mlp") == 0
    assert layer_index("model.embed_tokens.weight") is None and layer_index("transformer.wpe") is None


def test_an_unknown_architecture_is_refused_by_name():
    with pytest.raises(MigakiError, match="Linear has no list of layers named one of layers, h"):
        layer_list_name(nn.Linear(2, 2))


def test_kinds_of_attention_and_what_a_part_of_the_layers_has_of_them():
    mixed = Gemma3TextConfig(num_hidden_layers=6, layer_types=["sliding_attention"] * 5 + ["full_attention"])
    assert attention_kinds(mixed) == {"sliding_attention", "full_attention"}
    assert attention_kinds(config_of_layers(mixed, 0, 5)) == {"sliding_attention"} and len(mixed.layer_types) == 6
    assert attention_kinds(MistralConfig(sliding_window=64)) == {"sliding_attention"} and attention_kinds(LlamaConfig()) == {
        "full_attention"
    }


def test_the_width_of_keys():
    assert key_value_width(LlamaConfig(hidden_size=64, num_attention_heads=8, num_key_value_heads=2)) == 2 * 8
    assert key_value_width(tiny_falcon().config) == 32


def test_falcon_has_layers_that_can_be_quantized():
    model: FalconForCausalLM = tiny_falcon()
    layers = [module.dense_h_to_4h for module in model.modules() if isinstance(module, FalconMLP)]
    assert layers and all(type(layer) is nn.Linear for layer in layers)
