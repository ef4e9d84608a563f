"""The LoRA layers that Migaki gives PEFT compute what PEFT's own do."""

import copy

import pytest
import torch
from peft import get_peft_model
from torch import nn

import tasks.models.loader  # noqa: F401  (Falcon with torch's linear layers, as everywhere)
from tasks.models.lora import FusedLinear, lora_config
from tests.helpers.models import FAMILIES


def tuned(model, fused, dropout=0.0, targets="all-linear"):
    torch.manual_seed(0)
    config = lora_config(model, rank=4, alpha=8, dropout=dropout, targets=targets)
    if not fused:
        config._custom_modules = None
    model = get_peft_model(model, config)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(weight, std=0.1)
    return model


def fused_layers(model):
    return [module for module in model.modules() if isinstance(module, FusedLinear)]


def outcome(model, ids):
    """Logits, and the gradient of every adapter weight."""
    logits = model(input_ids=ids, use_cache=False).logits
    logits.float().log_softmax(-1)[..., 7].sum().backward()
    return logits, {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_and_gradients_are_pefts(family):
    ids = torch.randint(0, 250, (2, 9), generator=torch.Generator().manual_seed(0))
    base = FAMILIES[family]()
    ours, theirs = tuned(copy.deepcopy(base), True), tuned(base, False)
    assert not fused_layers(theirs)
    assert bool(fused_layers(ours)) == (family != "gpt2")  # which has linear layers of its own
    (logits, gradients), (wanted, wanted_gradients) = outcome(ours, ids), outcome(theirs, ids)
    torch.testing.assert_close(logits, wanted)
    assert gradients.keys() == wanted_gradients.keys() and gradients
    for name, gradient in wanted_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, msg=name)


def test_one_adapter_of_several_none_and_a_merged_one():
    ids = torch.randint(0, 250, (1, 7), generator=torch.Generator().manual_seed(0))
    base = FAMILIES["llama"]()
    plain = base(input_ids=ids).logits
    model = tuned(base, True)
    first = model(input_ids=ids).logits
    model.add_adapter("other", lora_config(base, rank=2, alpha=4))
    model.set_adapter("other")
    torch.testing.assert_close(model(input_ids=ids).logits, plain)  # a fresh adapter has no effect
    model.set_adapter("default")
    torch.testing.assert_close(model(input_ids=ids).logits, first)
    with model.disable_adapter():
        torch.testing.assert_close(model(input_ids=ids).logits, plain)
    model.merge_adapter()
    torch.testing.assert_close(model(input_ids=ids).logits, first, atol=1e-5, rtol=1e-4)
    assert (first - plain).abs().max() > 1e-3


def test_dropout_and_other_precisions_are_left_to_peft():
    ids = torch.randint(0, 250, (2, 9), generator=torch.Generator().manual_seed(0))
    ours, theirs = tuned(FAMILIES["llama"](), True, dropout=0.5), tuned(FAMILIES["llama"](), False, dropout=0.5)
    found = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(3)
        found.append(outcome(model, ids)[0])
    torch.testing.assert_close(*found)
    ours, theirs = (tuned(FAMILIES["llama"]().bfloat16(), fused) for fused in (True, False))
    torch.testing.assert_close(ours(input_ids=ids).logits, theirs(input_ids=ids).logits)
