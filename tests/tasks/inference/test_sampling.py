"""Sampling: the same words whatever the batch, log-probabilities that are the model's own, ends that end."""

import pytest
import torch
from transformers import GenerationConfig

from tasks.errors import MigakiError
from tasks.inference.sampling import SamplingParams, sample, sample_tokens
from tasks.models.trunk import layers_of, trunk_states
from tests.helpers.models import FAMILIES, tiny_llama

PROMPTS = [[5, 9, 30], [7, 8, 9, 10, 11, 12], [200], [44, 45, 46, 47]]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_transformers_generate(family):
    model = FAMILIES[family]()
    ours = sample(model, PROMPTS, SamplingParams(max_new_tokens=6, end_ids={256}, temperature=0))
    for prompt, answer in zip(PROMPTS, ours, strict=True):
        theirs = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            generation_config=GenerationConfig(max_new_tokens=6, do_sample=False, eos_token_id=256, pad_token_id=256),
        )
        assert answer.ids == theirs[0, len(prompt) :].tolist()


def test_a_row_does_not_depend_on_its_neighbours():
    model = tiny_llama()
    together = sample(model, PROMPTS, SamplingParams(max_new_tokens=12, end_ids={3, 256}, seed=4))
    alone = sample(model, PROMPTS, SamplingParams(max_new_tokens=12, end_ids={3, 256}, seed=4), batch=1)
    assert [answer.ids for answer in together] == [answer.ids for answer in alone]
    assert [a.ids for a in together] != [a.ids for a in sample(model, PROMPTS, SamplingParams(max_new_tokens=12, end_ids={3, 256}, seed=5))]


@pytest.mark.parametrize("family", FAMILIES)
def test_states_kept_while_decoding_are_those_of_one_pass_over_prompt_and_answer(family):
    model = FAMILIES[family]()
    ends = set(range(0, 260, 3))  # rows leave at different times
    for layer in (0, 1):
        for prompt, answer in zip(
            PROMPTS, sample(model, PROMPTS, SamplingParams(max_new_tokens=8, end_ids=ends, seed=3), states_at=layer), strict=True
        ):
            ids = torch.tensor([[*prompt, *answer.ids]])
            torch.testing.assert_close(answer.states, trunk_states(model, ids, torch.ones_like(ids), layer)[0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_asked_several_times_passes_the_model_once_and_says_what_it_would_alone(family):
    model, passed = FAMILIES[family](), []
    repeated = [PROMPTS[1], PROMPTS[0], PROMPTS[1], PROMPTS[1], PROMPTS[0]]
    how = SamplingParams(max_new_tokens=6, end_ids={3, 256}, seed=4)
    alone = sample(model, repeated, how, batch=1, states_at=1)
    hook = layers_of(model)[0].register_forward_pre_hook(
        lambda _, args, named: passed.append(len(args[0] if args else named["hidden_states"])), with_kwargs=True
    )
    together = sample(model, repeated, how, states_at=1)
    hook.remove()
    assert passed[0] == 2 and passed[1] == 5
    for one, other in zip(alone, together, strict=True):
        assert one.ids == other.ids
        torch.testing.assert_close(one.states, other.states, atol=2e-6, rtol=1e-5)


def test_rows_leave_when_they_end():
    model = tiny_llama()
    ends = {token for token in range(0, 260, 3)}  # a third of the vocabulary ends an answer
    for answer in sample(model, PROMPTS * 4, SamplingParams(max_new_tokens=10, end_ids=ends, seed=1)):
        assert all(token not in ends for token in answer.ids[:-1])
        assert answer.finished == (answer.ids[-1] in ends)
        assert len(answer.ids) == 10 or answer.finished


def test_logprobs_are_those_of_the_sampled_distribution():
    model, temperature = tiny_llama(), 0.7
    for prompt, answer in zip(
        PROMPTS, sample(model, PROMPTS, SamplingParams(max_new_tokens=8, end_ids={256}, temperature=temperature, seed=2)), strict=True
    ):
        ids = torch.tensor([prompt + answer.ids])
        expected = torch.log_softmax(model(ids).logits[0] / temperature, -1)
        for i, (token, logprob) in enumerate(zip(answer.ids, answer.logprobs, strict=True)):
            assert logprob == pytest.approx(expected[len(prompt) - 1 + i, token].item(), abs=1e-4)


def test_truncation_keeps_only_what_it_should():
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).repeat(200, 1)
    generators = [torch.Generator().manual_seed(i) for i in range(200)]
    assert set(sample_tokens(logits, 1.0, 2, 1.0, 0.0, generators)[0].tolist()) == {2, 3}
    assert set(sample_tokens(logits, 1.0, 0, 0.6, 0.0, generators)[0].tolist()) == {3}  # 0.64 of the mass alone
    assert set(sample_tokens(logits, 1.0, 0, 1.0, 0.0, generators)[0].tolist()) == {0, 1, 2, 3}


def test_prompt_longer_than_the_context_is_refused():
    with pytest.raises(MigakiError, match="context of 512"):
        sample(tiny_llama(), [[1] * 510], SamplingParams(max_new_tokens=8, end_ids={256}))


def test_drawing_follows_the_distribution_and_never_takes_what_is_impossible():
    from tasks.inference.sampling import _draw

    weights = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([_draw(weights[None], [generator]) for _ in range(4000)])
    shares = torch.bincount(drawn, minlength=6) / 4000
    assert set(drawn.tolist()) == {1, 3, 4}
    torch.testing.assert_close(shares, weights, atol=0.03, rtol=0)
