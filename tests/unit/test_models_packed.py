"""Packed linear layers: the same function as the layer's own, in float32 to rounding, in bfloat16 to its three digits."""

import pytest
import torch
from torch import nn

import tasks.models.packed as packed
from tasks.chatbot.batching import can_batch
from tasks.errors import MigakiError
from tasks.models.linear import sped_up
from tasks.models.packed import PackedLinear, can_pack, pack_linear, product_dtype
from tests.models import FAMILIES, tiny_llama

needs_onednn = pytest.mark.skipif(not can_pack(), reason="this build of PyTorch has no oneDNN")


def bfloat16() -> torch.dtype:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no AVX-512")
    return torch.bfloat16


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (3, 7, 24), (2, 1500, 24)])
def test_a_packed_layer_computes_what_the_layer_does(shape, bias):
    torch.manual_seed(0)
    layer = nn.Linear(24, 40, bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(layer)(x), layer(x), atol=1e-5, rtol=1e-5)


@needs_onednn
def test_in_bfloat16_it_computes_what_rounded_numbers_give():
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 40), torch.randn(5, 24)
    with torch.inference_mode():
        got = PackedLinear(layer, bfloat16())(x)
        rounded = nn.functional.linear(x.bfloat16().double(), layer.weight.bfloat16().double(), layer.bias.bfloat16().double())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, rounded.float(), atol=1e-2, rtol=1e-2)


def test_only_plain_fp32_layers_are_packed():
    class Special(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).bfloat16(), Special(4, 4))
    assert pack_linear(model) == int(can_pack())
    assert [type(layer).__name__ for layer in model][1:] == ["Linear", "Special"]


@needs_onednn
@pytest.mark.parametrize("family", FAMILIES)
def test_a_language_model_says_the_same_and_is_batched_in_either_type(family):
    ids = torch.tensor([[5, 9, 30, 7]])
    for dtype, tolerance in ((torch.float32, 2e-5), (bfloat16(), 0.05)):
        model = sped_up(FAMILIES[family]())
        with torch.inference_mode():
            before = model(ids).logits
            assert pack_linear(model, dtype, head=model.get_output_embeddings())
            torch.testing.assert_close(model(ids).logits, before, atol=tolerance, rtol=tolerance)
        assert can_batch(model)


@needs_onednn
def test_the_head_stays_in_float32():
    model = tiny_llama()
    pack_linear(model, bfloat16(), head=model.get_output_embeddings())
    assert model.lm_head.dtype == torch.float32
    assert model.model.layers[0].mlp.up_proj.dtype == torch.bfloat16


def test_auto_takes_bfloat16_only_where_the_processor_multiplies_it(monkeypatch):
    monkeypatch.setattr(packed, "can_pack", lambda: True)
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(packed, "multiplies_bfloat16", lambda native=native: native)
        assert product_dtype("auto") == expected
        assert product_dtype("float32") == torch.float32


def test_bfloat16_is_refused_where_nothing_computes_in_it(monkeypatch):
    monkeypatch.setattr(packed, "can_pack", lambda: False)
    assert product_dtype("auto") == torch.float32
    with pytest.raises(MigakiError, match="cannot compute in bfloat16"):
        product_dtype("bfloat16")
