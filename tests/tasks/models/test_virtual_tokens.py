"""A model whose texts come after virtual tokens: what it says is what was tuned, whoever asks it and with what cache."""

import threading

import pytest
import torch

from tasks.inference.agreement import examined, probe_ids
from tasks.inference.backend import Sampling
from tasks.inference.local import LocalModel
from tasks.models.batching import Example, collate
from tasks.models.families import context_length
from tasks.models.likelihood import whole_model
from tasks.models.soft_prompts import soft_prompt_states, virtual_keys_and_values, with_soft_prompt
from tasks.models.trunk import causal_lm
from tasks.models.virtual_tokens import has_virtual_tokens, put_before, take_away
from tests.helpers.models import FAMILIES, tiny_llama, tiny_tokenizer

ROWS = [Example(list(range(3, 30)), 9), Example(list(range(40, 52)), 4)]
CAPABLE = [family for family in FAMILIES if family != "falcon"]  # whose attention is its own


def tuned(model, method, count=5):
    """(states (B, T, H) that training has, the model with its virtual tokens put before every text)."""
    adapted = with_soft_prompt(model, method, count, seed=0)
    with torch.no_grad():
        adapted.prompt_encoder["default"].embedding.weight.add_(0.3)
        batch = collate(ROWS, (0, 1), pad_id=0)
        states, kept = soft_prompt_states(adapted)(batch), virtual_keys_and_values(adapted)
    put_before(causal_lm(adapted), kept)
    return states, causal_lm(adapted)


@pytest.mark.parametrize("method", ["prompt", "prefix"])
@pytest.mark.parametrize("family", CAPABLE)
@torch.no_grad()
def test_every_way_through_the_model_is_behind_the_virtual_tokens(family, method):
    plain = FAMILIES[family]()
    without = plain(input_ids=torch.tensor([ROWS[0].ids])).logits
    states, model = tuned(plain, method)
    batch = collate(ROWS, (0, 1), pad_id=0)
    found = whole_model(model)(batch)
    torch.testing.assert_close(found[batch.mask.bool()], states[batch.mask.bool()], atol=1e-5, rtol=1e-4)
    assert (model(input_ids=torch.tensor([ROWS[0].ids])).logits - without).abs().max() > 1e-3
    verdict = examined(model, probe_ids(model, None), "float32", None, print)  # in parts, and with a cache
    assert verdict.distance < 1e-4
    take_away(model)
    assert not has_virtual_tokens(model)
    torch.testing.assert_close(model(input_ids=torch.tensor([ROWS[0].ids])).logits, without)


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_many_are_answered_at_once_as_each_would_be_alone(method):
    _, model = tuned(tiny_llama(), method)
    served = LocalModel(model, tiny_tokenizer(), "tuned")
    try:
        assert served.batched and served.context == context_length(model.config) == 512 - 5
        prompt = list(range(40, 70))
        asked = [served.go_on(prompt, Sampling(temperature=0.0, max_new_tokens=12, no_repeat_ngram=0), threading.Event()) for _ in range(3)]
        answers = ["".join(delta.text for delta in deltas) for deltas in asked]
        with torch.no_grad():
            ids = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=12, do_sample=False)
        alone = served.tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True)
        assert answers == [alone.rstrip("\ufffd")] * 3  # half a character is not told
    finally:
        served.close()
