"""Continuous batching: what a row says does not depend on who joins and leaves, prompts are read in parts, prefixes once."""

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
    MistralConfig,
    MistralForCausalLM,
)

from tasks.inference import batching
from tasks.inference.backend import Sampling
from tasks.inference.batchable import can_batch
from tasks.inference.batching import BatchLimits, ContinuousBatch
from tasks.inference.kv_cache import SlotCache, attention_mask
from tasks.inference.prefix_cache import PrefixCache
from tasks.inference.rows import Row, next_tokens
from tasks.models.batching import Example
from tasks.models.likelihood import score_examples
from tests.helpers.models import FAMILIES, tiny_llama

SIZES = {"vocab_size": 260, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
GREEDY = Sampling(temperature=0.0, no_repeat_ngram=0)


def sliding_mistral():
    torch.manual_seed(0)
    return MistralForCausalLM(MistralConfig(**SIZES, num_hidden_layers=3, sliding_window=6, max_position_embeddings=512)).eval()


def mixed_gemma():
    torch.manual_seed(0)
    return Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, num_hidden_layers=7, head_dim=8, sliding_window=6)).eval()


MODELS = FAMILIES | {"mistral": sliding_mistral, "gemma": mixed_gemma}


def prompt(length, seed=0):
    return torch.randint(0, 256, (length,), generator=torch.Generator().manual_seed(1000 * seed + length)).tolist()


def row(ids, limit=8, ends=(), **sampling):
    return Row(ids, Sampling(**{"temperature": 0.0, "no_repeat_ngram": 0} | sampling), limit, set(ends))


def generated(model, ids, limit):
    """What transformers says alone."""
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        generation_config=GenerationConfig(max_new_tokens=limit, do_sample=False, pad_token_id=0),
    )
    return out[0, len(ids) :].tolist()


def run(batch, arriving, every=2):
    """Decode rows that arrive one by one, some steps apart, until all have left."""
    arriving, steps = list(arriving), 0
    while arriving or batch.rows:
        if arriving and steps % every == 0 and batch.has_room(arriving[0]):
            batch.join(arriving.pop(0))
        for ended in [row for row, _ in batch.step() if row.reason]:
            batch.leave(ended)
        for scored in [row for row in batch.rows if row.reason]:
            batch.leave(scored)
        steps += 1
    return steps


@pytest.mark.parametrize("family", MODELS)
def test_a_row_says_in_a_changing_batch_what_it_says_alone(family):
    model = MODELS[family]()
    assert can_batch(model)
    rows = [
        row(prompt(length, i), limit) for i, (length, limit) in enumerate([(5, 9), (40, 3), (1, 12), (23, 7), (70, 5), (9, 1), (17, 6)])
    ]
    run(ContinuousBatch(model, BatchLimits(max_rows=4, chunk=16)), rows)
    for found in rows:
        assert found.reason == "length" and found.answer == generated(model, found.prompt, found.limit)


def test_a_row_ends_at_an_end_token_and_others_take_its_line():
    model = tiny_llama()
    wanted = generated(model, prompt(6), 8)
    rows = [row(prompt(6), 8, ends=[wanted[3]]), row(prompt(30), 8), row(prompt(11), 8)]
    run(ContinuousBatch(model, BatchLimits(max_rows=2)), rows)
    assert rows[0].reason == "stop" and rows[0].answer == wanted[: wanted.index(wanted[3]) + 1]
    assert [r.answer for r in rows[1:]] == [generated(model, r.prompt, 8) for r in rows[1:]]


def test_a_seed_says_the_same_whatever_the_neighbours_and_another_seed_another():
    model, how = tiny_llama(), {"temperature": 1.0, "top_k": 20, "top_p": 0.9}
    alone, crowded, other = (row(prompt(9), 12, seed=seed, **how) for seed in (3, 3, 4))
    run(ContinuousBatch(model, BatchLimits(max_rows=1)), [alone])
    run(ContinuousBatch(model), [row(prompt(33), 20, seed=1, **how), crowded, row(prompt(4), 3, temperature=0.7, top_k=0, seed=2), other])
    assert alone.answer == crowded.answer != other.answer


def test_what_was_read_once_is_not_read_again_and_changes_nothing():
    model = tiny_llama()
    head, batch = prompt(40), ContinuousBatch(model, BatchLimits(chunk=16))
    first, second, again = (row(head + tail, 6) for tail in ([1, 2, 3], [9, 8], [1, 2, 3]))
    for each in (first, second, again):
        run(batch, [each])
    follow_up = row([*first.prompt, *first.answer, 7, 7], 6)  # the next turn of the conversation
    run(batch, [follow_up])
    assert (first.reused, second.reused, again.reused, follow_up.reused) == (0, 40, 42, 48)
    for each in (first, second, again, follow_up):
        assert each.answer == generated(model, each.prompt, 6)


def test_a_long_prompt_is_read_in_parts_while_others_go_on():
    batch = ContinuousBatch(tiny_llama(), BatchLimits(chunk=16))
    talking, long = row(prompt(4), 40), row(prompt(160), 4)
    batch.join(talking)
    batch.step()
    batch.join(long)
    lengths = []
    while not long.answer:
        batch.step()
        lengths.append(len(talking.answer))
    assert lengths == list(range(2, 2 + len(lengths)))  # a token in every one of the steps that the long prompt takes
    assert len(lengths) in (10, 11)


def test_far_into_a_long_prompt_a_step_passes_less_of_it_while_others_are_being_answered(monkeypatch):
    monkeypatch.setattr(batching, "NEAR", 32)

    def parts(*others):
        batch, long, found = ContinuousBatch(tiny_llama(), BatchLimits(chunk=32, kept_tokens=0)), row(prompt(200), 4), []
        for other in others:
            batch.join(other)
            batch.step()
        batch.join(long)
        while not long.answer:
            before = long.cached
            batch.step()
            found.append(long.cached - before)
        return found

    assert parts() == [32] * 6 + [8]
    assert parts(row(prompt(4), 100))[:5] == [32, 16, 12, 11, 9]  # 32 / (1 + tokens before it / 32): each part takes as long as the others


def test_a_slow_machine_passes_less_of_a_prompt_while_others_are_being_answered(monkeypatch):
    monkeypatch.setattr(batching, "STEP_SECONDS", 1e-9)
    monkeypatch.setattr(batching, "LEAST", 8)
    batch = ContinuousBatch(tiny_llama(), BatchLimits(chunk=32, kept_tokens=0))
    alone, talking, long = row(prompt(40), 1), row(prompt(4), 100), row(prompt(60), 4)
    batch.join(alone)
    batch.step()
    assert alone.cached == 32  # nobody waits, so there is no hurry
    batch.join(talking)
    while not talking.answer:
        batch.step()
    batch.join(long)
    batch.step()
    assert long.cached == 8


def test_several_deep_prompts_share_what_a_step_may_pass(monkeypatch):
    monkeypatch.setattr(batching, "NEAR", 16)
    batch = ContinuousBatch(tiny_llama(), BatchLimits(chunk=32, kept_tokens=0))
    talking, deep = row(prompt(4), 100), [row(prompt(200, seed), 4) for seed in range(3)]
    batch.join(talking)
    batch.step()
    for each in deep:
        batch.join(each)
        each.cached = 160
    batch.step()
    assert sum(each.cached - 160 for each in deep) == 32 // 11


def test_short_prompts_are_read_first_but_a_long_one_is_not_forgotten():
    batch = ContinuousBatch(tiny_llama(), BatchLimits(chunk=16, kept_tokens=0))
    long, short, late = row(prompt(160), 1), row(prompt(10), 1), row(prompt(10, 1), 1)
    late.joined = long.joined + 60
    for each in (long, short, late):
        batch.join(each)
    order = []
    while batch.rows:
        for ended in [r for r, _ in batch.step()]:
            order.append(len(ended.prompt) + ended.prompt[0])
            batch.leave(ended)
    assert order == [len(r.prompt) + r.prompt[0] for r in (short, long, late)]


def test_several_short_prompts_are_read_in_one_step():
    batch = ContinuousBatch(tiny_llama(), BatchLimits(chunk=64))
    rows = [row(prompt(length, 5), 3) for length in (5, 9, 7, 12)]
    for each in rows:
        batch.join(each)
        batch._slot_bytes = 1
    assert len(batch.step()) == 4
    run(batch, [])
    assert [r.answer for r in rows] == [generated(batch.model, r.prompt, 3) for r in rows]


@pytest.mark.parametrize("chunk", [4, 8, 128])
def test_scores_are_those_of_one_pass(chunk):
    model = tiny_llama()
    batch = ContinuousBatch(model, BatchLimits(chunk=chunk))
    options = [[5], [6, 7, 8, 9, 10, 11], [6, 9]]
    rows = [Row(prompt(21) + option, GREEDY, 0, set(), scored=len(option)) for option in options]
    run(batch, [rows[0], row(prompt(7), 5), *rows[1:]], every=1)
    expected = [-score.nll for score in score_examples(model, [Example(r.prompt, 21) for r in rows])]
    assert [r.logprob for r in rows] == pytest.approx(expected, abs=1e-4)


def test_memory_bounds_the_batch_but_never_keeps_out_the_only_row():
    model = tiny_llama()
    batch = ContinuousBatch(model, BatchLimits(cache_bytes=1))
    rows = [row(prompt(50), 3), row(prompt(5), 3)]
    batch.join(rows[0])
    batch.step()
    assert not batch.has_room(rows[1])
    run(batch, [rows[1]])
    assert all(len(r.answer) == 3 for r in rows)
    assert batch.cache.lines == batch.cache.capacity == 0  # given back when nobody is left


def test_no_run_of_tokens_twice():
    model = tiny_llama()
    free, bound = row(prompt(6), 60), row(prompt(6), 60, no_repeat_ngram=2)
    run(ContinuousBatch(model), [free, bound])
    pairs = list(zip(bound.answer, bound.answer[1:], strict=False))
    assert len(pairs) == len(set(pairs)) and free.answer != bound.answer


def test_the_prompt_may_be_quoted():
    asked = row([5, 6, 7, 8], no_repeat_ngram=2)
    asked.answer = [5]
    logits = torch.zeros(1, 20)
    logits[0, 6] = 9.0
    assert next_tokens(logits, [asked]) == [6]


class HighOnly:
    """A grammar that allows tokens from 40 on, and after each of them puts a 7."""

    def __init__(self):
        self.answer, self.whole = [], False

    def __call__(self, answer, logits):
        logits[:40] = float("-inf")

    def add(self, tokens):
        self.answer += tokens
        self.whole = len(self.answer) >= 8

    def forced(self):
        return [7, 7] if self.answer[-1] != 7 else []


def test_forced_tokens_are_read_and_not_decoded():
    model = tiny_llama()
    bound, other = row(prompt(9), 60), row(prompt(30), 9)
    bound.grammar = HighOnly()
    run(ContinuousBatch(model, BatchLimits(chunk=16)), [other, bound])
    expected = []
    while len(expected) < 8:
        logits = model(torch.tensor([[*bound.prompt, *expected]])).logits[0, -1]
        logits[:40] = float("-inf")
        expected += [int(logits.argmax()), 7, 7]
    assert bound.answer == bound.grammar.answer == expected and bound.reason == "stop"
    assert other.answer == generated(model, other.prompt, 9)


def test_each_row_draws_by_its_own_settings():
    logits = torch.zeros(4, 50)
    logits[:, 7] = 3.0
    greedy, narrow, wide, limited = row([1]), row([1], temperature=1.0, top_k=1), row([1], temperature=50.0, top_k=0, top_p=1.0), row([1])
    limited.grammar = HighOnly()
    drawn = [next_tokens(logits.clone(), [greedy, narrow, wide, limited]) for _ in range(60)]
    assert {tokens[0] for tokens in drawn} == {tokens[1] for tokens in drawn} == {7}
    assert len({tokens[2] for tokens in drawn}) > 10 and all(tokens[3] >= 40 for tokens in drawn)


def test_prefixes_are_of_use_to_the_same_salt_alone_but_for_a_head_without_anybodys_text():
    kept = lambda ids: [(torch.zeros(1, len(ids), 2), torch.zeros(1, len(ids), 2))]
    ids, prefixes = list(range(20)), PrefixCache(limit=100)
    prefixes.keep(ids, kept(ids), "ann")
    assert prefixes.longest([*ids, 1], "ann")[1] == 20
    assert prefixes.longest([*ids, 1], "bob")[1] == 0 and prefixes.longest([*ids, 1])[1] == 0
    assert prefixes.longest([*ids, 1], "bob", head=12)[1] == 12
    prefixes.keep(ids, kept(ids), "bob")
    assert prefixes.longest([*ids, 1], "bob")[1] == 20 and prefixes.tokens == 40


def test_prefixes_forget_the_oldest():
    kept = lambda ids: [(torch.zeros(1, len(ids), 2), torch.zeros(1, len(ids), 2))]
    prefixes = PrefixCache(limit=40)
    a, b, c = (prompt(16, seed) for seed in (1, 2, 3))
    prefixes.keep(a, kept(a))
    prefixes.keep(b, kept(b))
    assert prefixes.longest([*a, 1])[1] == 16 and prefixes.longest(a)[1] == 15  # one token is always read
    prefixes.keep(c, kept(c))
    assert prefixes.longest([*b, 1])[1] == 0 and prefixes.longest([*a, 1])[1] == 16  # b was not asked for as lately
    prefixes.keep([*a, 1, 2], kept([*a, 1, 2]))
    assert prefixes.tokens == 34  # the longer one took the place of a
    prefixes.keep(prompt(41), kept(prompt(41)))
    assert prefixes.tokens == 34


def test_a_sliding_window_hides_what_is_behind_it():
    seen = attention_mask(sliding_mistral(), torch.tensor([[7, 8]]), 10)[0, 0] == 0
    assert [line.nonzero().flatten().tolist() for line in seen] == [[2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7, 8]]
    masks = attention_mask(mixed_gemma(), torch.tensor([[8]]), 10)
    assert {kind: int((mask == 0).sum()) for kind, mask in masks.items()} == {"full_attention": 9, "sliding_attention": 6}


def test_models_that_cannot_be_batched_are_found_out():
    alibi = BloomForCausalLM(BloomConfig(vocab_size=260, hidden_size=32, n_layer=2, n_head=4)).eval()
    assert not can_batch(alibi)
    unaware = tiny_llama()
    forward = unaware.forward
    unaware.forward = lambda *args, position_ids=None, **named: forward(*args, **named)  # takes positions from where the cache ends
    assert not can_batch(unaware)


def test_the_cache_grows_without_losing_anything():
    cache = SlotCache()
    cache.grow(2, 4)
    cache.aim(torch.tensor([0, 1]), torch.tensor([[0], [2]]), 3)
    cache.update(torch.ones(2, 1, 1, 2), 2 * torch.ones(2, 1, 1, 2), 0)
    cache.grow(4, 8)
    keys, values = cache.read(1, 3)[0]
    assert keys[0].tolist() == [[0, 0], [0, 0], [1, 1]] and values[0, 2].tolist() == [2, 2]
    cache.move(1, 3, 3)
    assert torch.equal(cache.read(3, 3)[0][0], keys)
