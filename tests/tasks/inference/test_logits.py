"""Penalties and truncation: what transformers' processors leave, and no more of the prompt than its tokens."""

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GenerationConfig,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tasks.inference.backend import Sampling
from tasks.inference.beams import beam_search
from tasks.inference.logits import penalise, repeats, truncate
from tasks.inference.rows import Row, next_tokens
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.trunk import layers_of
from tests.helpers.models import FAMILIES, tiny_llama


def bloom():
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=260, hidden_size=32, n_layer=2, n_head=4)).eval()


def logits(seed=0, rows=1):
    return 3 * torch.randn(rows, 60, generator=torch.Generator().manual_seed(seed))


def test_no_run_of_tokens_twice():
    assert repeats([1, 2, 3, 1, 2], 3) == [3] and repeats([1, 2, 3, 1, 2], 4) == [] and repeats([1, 2], 1) == [1, 2]
    assert repeats([4], 0) == repeats([], 4) == []


@pytest.mark.parametrize("penalty", [1.0, 1.2, 2.0, 0.7])
@pytest.mark.parametrize("ngram", [0, 2])
def test_penalties_are_those_of_transformers_over_what_was_generated(penalty, ngram):
    prompt, answer = [3, 9, 9, 11], [5, 7, 5, 7, 30, 5]
    ids, wanted = torch.tensor([prompt + answer]), logits()
    wanted = RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=len(prompt))(ids, wanted)
    if ngram:
        wanted = NoRepeatNGramLogitsProcessor(ngram)(ids[:, len(prompt) :], wanted)
    found = logits()[0]
    penalise(found, answer, penalty, ngram)
    assert torch.equal(found, wanted[0])
    assert (penalty, ngram) != (1.0, 0) or torch.equal(found, logits()[0])


def test_a_penalty_divides_what_is_positive_and_multiplies_what_is_negative():
    line = torch.tensor([3.0, -3.0, 3.0, -3.0])
    penalise(line, [0, 1, 1], 1.5, 0)
    assert line.tolist() == [2.0, -4.5, 3.0, -3.0]


@pytest.mark.parametrize(
    ("top_k", "top_p", "min_p"), [(0, 1.0, 0.1), (0, 1.0, 1.0), (7, 1.0, 0.0), (0, 0.8, 0.0), (20, 0.9, 0.02), (0, 1.0, 0.0)]
)
def test_truncation_leaves_what_transformers_leaves(top_k, top_p, min_p):
    scores = logits(seed=1, rows=40)
    wanted = scores
    for on, warper in (
        (top_k, lambda: TopKLogitsWarper(top_k)),
        (top_p < 1, lambda: TopPLogitsWarper(top_p)),
        (min_p, lambda: MinPLogitsWarper(min_p)),
    ):
        wanted = warper()(None, wanted) if on else wanted
    found = truncate(torch.log_softmax(scores, -1), top_k, top_p, min_p)
    torch.testing.assert_close(torch.softmax(found, -1), torch.softmax(wanted, -1))
    assert torch.equal(found == float("-inf"), wanted == float("-inf"))


def row(**sampling):
    return Row([1, 2], Sampling(**{"temperature": 0.0, "no_repeat_ngram": 0} | sampling), 8, set())


@pytest.mark.parametrize("top_k", [0, 50])
def test_a_row_draws_by_its_min_p_and_its_penalty(top_k):
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    drawn = row(temperature=1.0, top_k=top_k, top_p=1.0, min_p=0.5, seed=0)
    assert {next_tokens(scores.clone(), [drawn])[0] for _ in range(200)} == {0, 1}
    said = row(repetition_penalty=3.0)
    assert next_tokens(scores.clone(), [said]) == [0]
    said.answer = [0]
    assert next_tokens(scores.clone(), [said]) == [1]


def test_likelihoods_are_the_models_own_whatever_is_drawn_by():
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    asked, quiet = row(temperature=0.2, top_k=2, repetition_penalty=9.0, logprobs=3), row()
    asked.answer = [0]
    assert next_tokens(scores.repeat(2, 1), [asked, quiet]) == [1, 0]
    assert asked.likelihood.logprob == pytest.approx(-1.2040, abs=1e-4) and quiet.likelihood is None
    assert [token for token, _ in asked.likelihood.top] == [0, 1, 2]
    assert [nats for _, nats in asked.likelihood.top] == pytest.approx([-0.6931, -1.2040, -1.8971], abs=1e-4)


def test_batched_sampling_heeds_the_penalties_and_min_p():
    model, prompts = tiny_llama(), [[5, 9, 30], [7, 8]]
    for answer in sample(model, prompts, SamplingParams(20, set(), temperature=1.0, no_repeat_ngram=1, seed=1)):
        assert len(set(answer.ids)) == 20
    greedy = [answer.ids for answer in sample(model, prompts, SamplingParams(8, set(), temperature=0))]
    likeliest = sample(model, prompts, SamplingParams(8, set(), temperature=1.0, min_p=1.0))
    assert [answer.ids for answer in likeliest] == greedy
    punished = sample(model, prompts, SamplingParams(8, set(), temperature=0, repetition_penalty=50.0))
    assert all(len(set(answer.ids)) == 8 for answer in punished)


@pytest.mark.parametrize("family", [*FAMILIES, "bloom"])
def test_beams_find_what_transformers_finds_and_read_a_prompt_once(family):
    model = FAMILIES[family]() if family in FAMILIES else bloom()
    read = []
    hook = layers_of(model)[0].register_forward_pre_hook(
        lambda _, args, named: read.append((args[0] if args else named["hidden_states"]).shape[:2]), with_kwargs=True
    )
    for prompt in ([5, 9, 30, 31, 32], [7]):
        read.clear()
        theirs = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            generation_config=GenerationConfig(max_new_tokens=8, num_beams=3, do_sample=False, eos_token_id=256, pad_token_id=256),
        )[0, len(prompt) :].tolist()
        read.clear()
        [ours] = beam_search(model, [prompt], Sampling(num_beams=3, no_repeat_ngram=0), 8, {256}, 256)
        assert ours == theirs
        assert read[0] == ((1, 4) if len(prompt) > 1 and family != "bloom" else (3, len(prompt)))
    hook.remove()


def test_beams_find_for_each_of_several_prompts_what_they_find_for_it_alone_and_heed_the_penalties():
    model, prompts = tiny_llama(), [[5, 9, 30, 31, 32], [7, 8]]
    how = Sampling(num_beams=3, no_repeat_ngram=0)
    together = beam_search(model, prompts, how, 8, {256}, 256)
    assert together == [beam_search(model, [prompt], how, 8, {256}, 256)[0] for prompt in prompts]
    [best] = beam_search(model, [prompts[0]], how, 8, {256}, 256)
    [greedy] = sample(model, [prompts[0]], SamplingParams(8, {256}, temperature=0))

    def likelihood(ids):
        scores = torch.log_softmax(model(torch.tensor([prompts[0] + ids])).logits[0, len(prompts[0]) - 1 : -1], -1)
        return float(scores.gather(1, torch.tensor(ids)[:, None]).sum())

    assert likelihood(best) >= likelihood(greedy.ids)
    [bound] = beam_search(model, [prompts[0]], Sampling(num_beams=3, no_repeat_ngram=1), 12, {256}, 256)
    assert len(set(bound)) == len(bound)
    [punished] = beam_search(model, [prompts[0]], Sampling(num_beams=3, no_repeat_ngram=0, repetition_penalty=20.0), 8, {256}, 256)
    assert punished != best
