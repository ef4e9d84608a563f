"""Linear layers by oneDNN: the same function, gradients and files as torch's own."""

import pytest
import torch
from torch import nn

import tasks.models.linear as linear
from tasks.models.linear import FastLinear, product, sped_up
from tests.helpers.models import FAMILIES, tiny_llama


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def by(request, monkeypatch):
    """Each library in turn, whatever this machine's processor would get."""
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(linear, "FASTER", request.param)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (2, 5, 48), (0, 48), (48,)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_torchs(by, shape, bias):
    layer, x = nn.Linear(48, 80, bias=bias), torch.randn(shape)
    close(product(x, layer.weight.detach(), layer.bias.detach() if bias else None), layer(x).detach())
    close(product(x.new_ones(3, 80), layer.weight.detach().t()), x.new_ones(3, 80) @ layer.weight.detach())


@pytest.mark.parametrize("frozen", [True, False])
def test_gradients_are_torchs(by, frozen):
    plain = nn.Linear(48, 80).requires_grad_(not frozen)
    fast = sped_up(nn.Sequential(nn.Linear(48, 80)))
    fast[0].load_state_dict(plain.state_dict())
    fast.requires_grad_(not frozen)
    inputs = [torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2)]
    for x, layer in zip(inputs, (plain, fast), strict=True):
        layer(x).square().sum().backward()
    close(inputs[0].grad, inputs[1].grad)
    if not frozen:
        close(plain.weight.grad, fast[0].weight.grad)
        close(plain.bias.grad, fast[0].bias.grad)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_says_the_same_and_is_saved_the_same(by, family):
    model, ids = FAMILIES[family](), torch.tensor([[5, 9, 30, 7]])
    before, names = model(ids).logits, list(model.state_dict())
    close(sped_up(model)(ids).logits, before)
    assert list(model.state_dict()) == names


def test_what_is_more_than_a_matrix_is_left_alone():
    class Own(nn.Linear):
        pass

    model = sped_up(nn.Sequential(Own(4, 4), nn.Linear(4, 4)))
    assert type(model[0]) is Own and type(model[1]) is FastLinear


def test_other_precisions_are_torchs(by):
    layer = sped_up(tiny_llama().to(torch.bfloat16))
    assert layer(torch.tensor([[1, 2, 3]])).logits.dtype == torch.bfloat16
