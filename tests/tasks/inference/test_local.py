"""A model of this process: many threads ask it, what breaks is said and costs nobody else an answer."""

import gc
import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM

from tasks.errors import MigakiError
from tasks.inference.backend import Asker, Sampling, Unavailable
from tasks.inference.batching import BatchLimits
from tasks.inference.grammar import complete_json
from tasks.inference.local import LocalModel
from tasks.inference.rows import Row, next_tokens
from tasks.models.quantized import make_variant
from tasks.prompts.template import encode_prompt
from tasks.prompts.templates import settle
from tests.helpers.backends import answer, ask, until
from tests.helpers.chat_templates import TEMPLATES
from tests.helpers.models import FAMILIES, save_tiny, tiny_llama, tiny_tokenizer
from tests.helpers.tokenizers import trained


@pytest.fixture
def local():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny", limits=BatchLimits(max_rows=4))
    yield backend
    backend.close()


def bloom():
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=260, hidden_size=32, n_layer=2, n_head=4)).eval()


def test_many_threads_get_what_each_gets_alone(local):
    questions = [f"{word} {i}" * (1 + i % 5) for i, word in enumerate(["hello", "磨く", "what", "どう"] * 3)]
    alone = [answer(local, question) for question in questions]
    found = [None] * len(questions)

    def run(i):
        found[i] = answer(local, questions[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone and all(tokens == 12 or reason == "stop" for _, tokens, reason in found)
    stats = local.stats
    assert stats.requests == 24 and stats.failed == stats.waiting == stats.running == 0
    assert stats.tokens == sum(tokens for _, tokens, _ in alone + found) and stats.reused_tokens > 0 and stats.steps < stats.tokens


def test_of_what_one_person_asked_another_finds_only_what_everybody_may_read(local):
    everybody = "Notes for everybody: the gate opens at nine."
    ask_as = [local.during(Asker(name, own=frozenset([everybody]))) for name in ("ann", "bob")]
    reused = []
    for backend, rest in zip([*ask_as, ask_as[1]], [" Is my salary 9000?"] * 3, strict=True):
        before = local.stats.reused_tokens
        answer(backend, everybody + rest)
        reused.append(local.stats.reused_tokens - before)
    known = len(local.tokenizer(everybody)["input_ids"])
    assert reused[0] == 0 and known <= reused[1] <= known + 3 and reused[2] > reused[1] + 10


def test_an_end_token_ends_an_answer_and_is_not_text(local):
    text, _, _ = answer(local, "hello")
    local._ends.add(tiny_tokenizer()("\x1e")["input_ids"][0])  # what this model says second
    ended, tokens, reason = answer(local, "hello")
    assert (tokens, reason) == (2, "stop") and text.startswith(ended) and "\x1e" not in ended


def test_stop_and_a_closed_iterator_end_an_answer_and_free_its_row(local):
    local._ends.clear()
    stop = threading.Event()
    long = Sampling(max_new_tokens=400, temperature=0.0)
    deltas = local.stream(ask("hello"), long, stop)
    next(deltas)
    stop.set()
    assert list(deltas)[-1].reason == "stopped"
    left = local.stream(ask("hello"), long, threading.Event())
    next(left)
    left.close()
    until(lambda: local.stats.running == 0)
    assert local.stats.tokens < 400


def test_more_than_the_rows_wait_their_turn_and_may_give_up(local):
    long = Sampling(max_new_tokens=400, temperature=0.0, no_repeat_ngram=0)
    local._ends.clear()
    talking = [local.stream(ask(f"q{i}"), long, threading.Event()) for i in range(4)]
    for deltas in talking:
        next(deltas)
    stop, got = threading.Event(), []
    waiting = threading.Thread(target=lambda: got.extend(local.stream(ask("late"), long, stop)))
    waiting.start()
    until(lambda: local.stats.waiting == 1)
    stop.set()
    waiting.join(10)
    assert [delta.reason for delta in got] == ["stopped"] and got[0].tokens == 0
    for deltas in talking:
        deltas.close()


def test_too_many_waiting_are_refused():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny", max_waiting=0)
    with pytest.raises(Unavailable, match="0 questions are waiting already"):
        answer(backend, "hello")


def test_a_prompt_that_fills_the_context_is_refused_and_a_long_answer_ends_with_it(local):
    with pytest.raises(MigakiError, match="of the 512 that tiny can read"):
        answer(local, "x" * 600)
    length = local.count_tokens(ask("x" * 480))
    local._ends.clear()
    assert answer(local, "x" * 480, Sampling(max_new_tokens=100, temperature=0.0))[1:] == (512 - length, "length")


def test_a_seed_repeats_an_answer(local):
    how = {"max_new_tokens": 20, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    assert answer(local, "hello", Sampling(**how, seed=1)) == answer(local, "hello", Sampling(**how, seed=1))
    assert len({answer(local, "hello", Sampling(**how))[0] for _ in range(4)}) > 1


def test_a_model_that_breaks_fails_those_in_flight_alone(local, monkeypatch):
    step, broken = local._decoding.batch.step, threading.Event()

    def breaks():
        if broken.is_set():
            broken.clear()
            raise MemoryError("no more")
        return step()

    monkeypatch.setattr(local._decoding.batch, "step", breaks)
    before = answer(local, "hello")
    broken.set()
    with pytest.raises(MigakiError, match=r"MemoryError: no more.*ask again"):
        answer(local, "hello")
    assert answer(local, "hello") == before and local.stats.failed == 1


def test_closing_fails_what_is_in_flight_and_refuses_more():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny")
    backend._ends.clear()
    deltas = backend.stream(ask("hello"), Sampling(max_new_tokens=400, temperature=0.0), threading.Event())
    next(deltas)
    backend.close()
    with pytest.raises(MigakiError, match="closed"):
        list(deltas)
    with pytest.raises(MigakiError, match="closed"):
        answer(backend, "hello")


def test_a_backend_that_nobody_uses_takes_its_thread_with_it():
    backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny")
    answer(backend, "hello")
    thread = backend._decoding._thread
    del backend
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.slow
def test_a_program_that_ends_in_the_middle_of_an_answer_ends():
    code = """
import threading, time
from tasks.inference.backend import Sampling
from tasks.inference.local import LocalModel
from tests.helpers.models import tiny_llama, tiny_tokenizer
backend = LocalModel(tiny_llama(), tiny_tokenizer(), "tiny")
backend._ends.clear()
for beams in (1, 2):
    how = Sampling(max_new_tokens=500, num_beams=beams)
    threading.Thread(target=lambda: list(backend.stream([{"role": "user", "content": "x"}], how, threading.Event())), daemon=True).start()
while not (backend.stats.tokens and backend._unbatched._live):
    time.sleep(0.01)
print("over")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stdout) == (0, "over\n") and "terminate" not in done.stderr


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_cannot_be_batched_says_the_same_one_at_a_time(family):
    backend = LocalModel(FAMILIES[family](), tiny_tokenizer(), family)
    how = Sampling(max_new_tokens=12, temperature=0.8, seed=5)
    batched = answer(backend, "hello", how), answer(backend, "hello"), backend.choose(ask("hello"), ["yes", "no"])
    backend.batched = False
    assert (answer(backend, "hello", how), answer(backend, "hello")) == batched[:2]
    assert backend.choose(ask("hello"), ["yes", "no"]) == pytest.approx(batched[2], abs=1e-4)
    backend.close()


def test_an_architecture_with_a_cache_of_its_own_kind_answers():
    backend = LocalModel(bloom(), tiny_tokenizer(), "bloom")
    assert not backend.batched
    _, tokens, reason = answer(backend, "hello")
    assert tokens <= 12 and reason in ("stop", "length")
    backend._ends.clear()
    stop = threading.Event()
    deltas = backend.stream(ask("hello"), Sampling(max_new_tokens=400), stop)
    next(deltas)
    stop.set()
    assert list(deltas)[-1].reason == "stopped"


def test_beams_answer_while_others_stream(local):
    beams = Sampling(max_new_tokens=12, num_beams=3, no_repeat_ngram=2)
    expected = answer(local, "hello"), answer(local, "hello", beams)
    got = []
    thread = threading.Thread(target=lambda: got.append(answer(local, "hello", beams)))
    thread.start()
    got.insert(0, answer(local, "hello"))
    thread.join()
    assert tuple(got) == expected and expected[1][2] in ("stop", "length")


@pytest.mark.parametrize("batched", [True, False])
def test_log_probabilities_of_what_was_shown_are_the_models_own(local, batched):
    local.batched = batched
    prompt = encode_prompt(local.tokenizer, ask("磨く"))
    how = Sampling(max_new_tokens=24, temperature=0.9, top_k=20, seed=3, logprobs=2)
    deltas = list(local.stream(ask("磨く"), how, threading.Event()))
    told = [one for delta in deltas for one in delta.logprobs]
    assert sum(delta.tokens for delta in deltas) == 24 >= len(told) > 10
    plain = replace(how, logprobs=None)
    assert "".join(delta.text for delta in deltas) == answer(local, "磨く", plain)[0]
    row = Row(prompt, plain, 24, set())
    while told:  # what is drawn, with the log-probabilities of a plain forward
        logits = local.model(torch.tensor([prompt + row.answer])).logits[0, -1].float()
        logprobs = torch.log_softmax(logits, -1)
        row.add(next_tokens(logits[None].clone(), [row])[0])
        if not (text := local.tokenizer.decode(row.answer[-1:], skip_special_tokens=True)):
            continue  # a special token is not shown
        one = told.pop(0)
        assert one.token == text
        assert one.logprob == pytest.approx(float(logprobs[row.answer[-1]]), abs=1e-4)
        assert all(token for token, _ in one.top)
        assert [nats for _, nats in one.top] == pytest.approx(logprobs.topk(2).values.tolist(), abs=1e-4)
    assert all(delta.logprobs == () for delta in local.stream(ask("磨く"), plain, threading.Event()))


def test_beams_refuse_log_probabilities(local):
    with pytest.raises(MigakiError, match="logprobs with num_beams 3"):
        answer(local, "hello", Sampling(num_beams=3, logprobs=0))


def test_a_prompt_without_a_template_goes_on_at_once(local):
    local._ends.clear()
    ids = local.tokenizer("Once upon a")["input_ids"]
    deltas = local.go_on(ids, Sampling(max_new_tokens=6, temperature=0.0, no_repeat_ngram=0), threading.Event())
    until(lambda: local.stats.tokens == 6)  # nothing was read yet
    said = "".join(delta.text for delta in deltas)
    generated = local.model.generate(torch.tensor([ids]), max_new_tokens=6, do_sample=False)[0, len(ids) :]
    assert said == local.tokenizer.decode(generated, skip_special_tokens=True).rstrip("\ufffd")


def test_choosing_reads_the_messages_once(local):
    options = ["calculate", "get_weather", "search_documents", "none"]
    first = local.choose(ask("what is 2 + 2?" * 10), options)
    asked = local.stats.prompt_tokens
    reused = local.stats.reused_tokens
    assert len(first) == 4 and all(score < 0 for score in first)
    assert reused >= 3 * (local.count_tokens(ask("what is 2 + 2?" * 10)) - 1)
    assert local.choose(ask("what is 2 + 2?" * 10), options) == pytest.approx(first, abs=1e-4)
    assert local.stats.prompt_tokens == 2 * asked
    with pytest.raises(MigakiError, match="empty"):
        local.choose(ask("hi"), ["a", ""])


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


def test_json_is_decoded_among_others_as_it_is_alone(local):
    alone = complete_json(local.model, local.tokenizer, [*encode_prompt(local.tokenizer, ask("where?")), 72, 58], SCHEMA, 30)
    expected = answer(local, "hello")
    prefix, got = local.tokenizer.decode([72, 58]), []
    threads = [threading.Thread(target=lambda: got.append(local.complete_json(ask("where?"), SCHEMA, prefix, 30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert answer(local, "hello") == expected
    for thread in threads:
        thread.join()
    assert got == [alone] * 3 and set(json.loads(alone)) == {"city", "days"}
    local.batched = False
    assert local.complete_json(ask("where?"), SCHEMA, prefix, 30) == alone
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    assert local.complete_json(ask("where?"), nothing, "", 5) == "{}"


@pytest.mark.parametrize("variant", ["fp16", "int8", "nf4"])
def test_every_precision_of_the_registry_is_batched(tmp_path, variant):
    source = save_tiny(tmp_path / "tiny", hidden=64)
    backend = LocalModel(make_variant(variant, source, 6.0, "cpu"), tiny_tokenizer(), variant)
    assert backend.batched
    got = []
    threads = [threading.Thread(target=lambda: got.append(answer(backend, "hello"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 3 and all(tokens == 12 or reason == "stop" for _, tokens, reason in got)
    assert all(score < 0 for score in backend.choose(ask("hello"), ["yes", "no"]))
    backend.close()


@pytest.mark.parametrize("shape", ["gemma", "mistral", "llama2"])
def test_a_template_without_system_turns_answers_all_the_same(shape):
    tokenizer = trained("bytes", ["What is a kiln?"] * 9, TEMPLATES[shape], 600)
    backend = LocalModel(tiny_llama(vocab=len(tokenizer)), settle(tokenizer), "tiny")
    messages = [{"role": "system", "content": "Be brief."}, *ask("What is a kiln? <end_of_turn></s>")]
    asked = backend.during(Asker("ann", own=frozenset(["Be brief."])))
    tokens = sum(delta.tokens for delta in asked.stream(messages, Sampling(temperature=0.0, max_new_tokens=5), threading.Event()))
    assert 0 < tokens <= 5
    backend.close()
