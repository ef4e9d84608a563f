"""The split of a model into trunk and top changes nothing about what it computes, for every family."""

import pytest
import torch
from peft import get_peft_model

from tasks.models.lora import lora_config
from tasks.models.trunk import TopModel, layer_count, lm_head, position_ids, split_layer, trunk_states
from tests.helpers.models import FAMILIES


def padded_batch():
    torch.manual_seed(0)
    ids = torch.randint(0, 250, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[0, :3] = 0  # left-padded
    return ids, mask


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("k", [0, 2, 3])
def test_trunk_then_top_equals_whole(family, k):
    model, (ids, mask) = FAMILIES[family](), padded_batch()
    split = lm_head(model)(TopModel(model, k)(trunk_states(model, ids, mask, k), mask))
    whole = model(input_ids=ids, attention_mask=mask, position_ids=position_ids(mask)).logits
    torch.testing.assert_close(split[mask.bool()], whole[mask.bool()])


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_of_the_top_are_seen_and_padding_is_not(family):
    model, (ids, mask) = FAMILIES[family](), padded_batch()
    before = model(input_ids=ids, attention_mask=mask, position_ids=position_ids(mask)).logits
    tuned = get_peft_model(model, lora_config(model, rank=4, alpha=8, from_layer=2))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            assert ".2." in name or ".3." in name
            torch.nn.init.normal_(weight)
    states = trunk_states(tuned, ids, mask, 2)
    logits = lm_head(tuned)(TopModel(tuned, 2)(states, mask))
    assert (logits - before)[mask.bool()].abs().max() > 1e-3
    alone = lm_head(tuned)(TopModel(tuned, 2)(trunk_states(tuned, ids[:1, 3:], mask[:1, 3:], 2), mask[:1, 3:]))
    torch.testing.assert_close(logits[:1, 3:], alone, atol=1e-5, rtol=1e-4)


def test_split_layer_gives_the_top_third():
    model = FAMILIES["llama"](layers=30)
    assert layer_count(model) == 30
    assert [split_layer(model, share) for share in (1 / 3, 1.0, 0.001)] == [20, 0, 29]
