"""Packed linear layers: the same function as the layer's own, in float32 to rounding, in bfloat16 to its three digits."""

import pytest
import torch
from torch import nn

import tasks.models.packed as packed
from tasks.inference.batchable import can_batch
from tasks.models.linear import sped_up
from tasks.models.packed import PackedLinear, can_pack, pack_linear
from tests.helpers.models import FAMILIES

needs_onednn = pytest.mark.skipif(not can_pack(), reason="this build of PyTorch has no oneDNN")


needs_bfloat16 = pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this processor has no AVX-512")


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (3, 7, 24), (2, 1500, 24)])
def test_a_packed_layer_computes_what_the_layer_does(shape, bias):
    torch.manual_seed(0)
    layer = nn.Linear(24, 40, bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(layer)(x), layer(x), atol=1e-5, rtol=1e-5)


@needs_bfloat16
def test_in_bfloat16_it_computes_what_rounded_numbers_give():
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 40).bfloat16(), torch.randn(5, 24).bfloat16()
    with torch.inference_mode():
        exact = nn.functional.linear(x.double(), layer.weight.double(), layer.bias.double())
        got = PackedLinear(layer)(x)
        assert got.dtype == torch.bfloat16
        torch.testing.assert_close(got.double(), exact, atol=1e-2, rtol=1e-2)
        torch.testing.assert_close(PackedLinear(layer, torch.float32)(x).double(), exact, atol=1e-5, rtol=1e-5)


def test_only_plain_layers_are_packed():
    class Special(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).half(), Special(4, 4), nn.Linear(4, 4, device="meta"))
    assert pack_linear(model) == int(can_pack())
    assert [type(layer).__name__ for layer in model][1:] == ["Linear", "Special", "Linear"]


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(torch.float32, 2e-5, marks=needs_onednn), pytest.param(torch.bfloat16, 0.05, marks=needs_bfloat16)],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_language_model_says_the_same_and_is_batched(family, dtype, tolerance):
    model, ids = sped_up(FAMILIES[family]()), torch.tensor([[5, 9, 30, 7]])
    with torch.inference_mode():
        before = model(ids).logits
        model.to(dtype)
        assert pack_linear(model, head=model.get_output_embeddings())
        after = model(ids).logits
    assert after.dtype == torch.float32
    torch.testing.assert_close(after, before, atol=tolerance, rtol=tolerance)
    assert can_batch(model)


def test_bfloat16_counts_as_multiplied_only_where_the_processor_has_instructions_for_it(monkeypatch):
    monkeypatch.setattr(packed, "can_pack", lambda dtype: True)
    for native in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert packed.multiplies_bfloat16() is native
