"""Continuations scored in trees get what each gets alone, of every kind of attention, and what they share is read once."""

import pytest
import torch

from tasks.inference.continuations import Continuation, ContinuationScorer
from tasks.models.trunk import decoder
from tests.helpers.heads import tiny_of
from tests.helpers.models import tiny_falcon, tiny_gpt2, tiny_llama, tiny_neox

MODELS = {
    "llama": tiny_llama,
    "gpt2": tiny_gpt2,
    "neox": tiny_neox,
    "falcon": tiny_falcon,
    "mistral": lambda: tiny_of("mistral", sliding_window=5),
    "gemma3": lambda: tiny_of("gemma3_text", sliding_window=5),
    "bloom": lambda: tiny_of("bloom"),
}


def own_score(model, one):
    """What the model's own forward says."""
    logprobs = model(input_ids=torch.tensor([one.ids])).logits[0].float().log_softmax(-1)
    return sum(float(logprobs[at - 1, one.ids[at]]) for at in range(one.start, len(one.ids)))


def drawn(seed, length):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 60, (length,), generator=generator).tolist()


def few_shot_items():
    shots = drawn(1, 12)
    items = []
    for seed, (words, ends) in enumerate([(7, (3, 1, 5)), (4, (1, 1)), (9, (2, 6, 1, 1)), (5, (4,))]):
        context = shots + drawn(10 + seed, words)
        items.append([Continuation(context + drawn(100 * seed + i, end), len(context)) for i, end in enumerate(ends)])
    # The first token of one joins the last of the context, as byte pairs do; another begins as its neighbour and goes on.
    items.append([Continuation(shots + [9, 8, 7], 14), Continuation(shots + [9, 6, 7, 2], 14), Continuation(shots + [9, 6, 7, 2, 4], 14)])
    return shots, items


@pytest.mark.parametrize("name", MODELS)
def test_every_continuation_gets_what_it_gets_alone(name):
    model = MODELS[name]()
    shots, items = few_shot_items()
    scorer = ContinuationScorer(model, batch=2)
    assert scorer.in_trees == (name != "bloom")
    wanted = [[own_score(model, one) for one in item] for item in items]
    for shared in (shots, [], [*shots, 3, 3], shots[:4]):
        for found, own in zip(scorer.score(items, shared), wanted, strict=True):
            assert found == pytest.approx(own, abs=1e-4)


def test_what_is_shared_is_read_once_and_kept():
    model, read = tiny_llama(), []
    shots, items = few_shot_items()
    scorer = ContinuationScorer(model, batch=8)
    decoder(model).register_forward_pre_hook(lambda _, args, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True)
    first = scorer.score(items[:2], shots)
    # Of the first question 7 tokens and its choices without their last one, 2 + 0 + 4; the shots once.
    assert read == [(1, 12), (2, 13)]
    assert scorer.score(items[:2], shots) == first and read[2:] == [(2, 13)]


def test_a_continuation_of_one_token_is_predicted_by_its_context_alone():
    model, read = tiny_llama(), []
    scorer = ContinuationScorer(model)
    decoder(model).register_forward_pre_hook(lambda _, args, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True)
    [scores] = scorer.score([[Continuation([1, 2, 3, letter], 3) for letter in (4, 5, 6, 7)]])
    assert read == [(1, 3)]
    own = model(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1].log_softmax(-1)[4:8]
    assert scores == pytest.approx(own.tolist(), abs=1e-5)
