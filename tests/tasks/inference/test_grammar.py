"""Decoding under a grammar: whatever the model says, JSON of the schema; and likelihoods that equal one whole pass."""

import json

import pytest
import torch

from tasks.chatbot.tools.schema import enforceable
from tasks.errors import MigakiError
from tasks.inference.grammar import JsonGrammar, complete_json, option_logprobs
from tasks.models.batching import Example
from tasks.models.likelihood import score_examples
from tests.helpers.models import FAMILIES, tiny_llama, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SCHEMA = enforceable(
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 12},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "share": {"type": "number"},
            "unit": {"enum": ["celsius", "fahrenheit", 3]},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 6}, "minItems": 1, "maxItems": 3},
            "deep": {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]},
            "more": {"type": "string"},
        },
        "required": ["city", "days", "share", "unit", "tags", "deep"],
    }
)


def check(text):
    found = json.loads(text)
    assert set(found) >= set(SCHEMA["required"]) and set(found) <= set(SCHEMA["properties"]), text
    assert isinstance(found["city"], str) and len(found["city"]) <= 12 and isinstance(found["share"], int | float)
    assert type(found["days"]) is int and 1 <= found["days"] <= 14 and found["unit"] in ("celsius", "fahrenheit", 3)
    assert 1 <= len(found["tags"]) <= 3 and all(isinstance(tag, str) and len(tag) <= 6 for tag in found["tags"])
    assert list(found["deep"]) == ["yes"] and isinstance(found["deep"]["yes"], bool)
    text.encode()


@pytest.mark.parametrize("limit", [0, 1, 7, 30, 200])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_weights_give_json_of_the_schema_however_early_the_tokens_run_out(seed, limit):
    check(complete_json(tiny_llama(seed=seed), TOKENIZER, TOKENIZER("Weather? ")["input_ids"], SCHEMA, limit))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_models_decodes_and_a_head_wider_than_the_tokenizer_does_no_harm(family):
    check(complete_json(FAMILIES[family](vocab=320), TOKENIZER, [72, 105], SCHEMA, 60))


def test_forced_tokens_change_nothing_but_the_number_of_passes():
    model, prompt = tiny_llama(), TOKENIZER("Say: ")["input_ids"]
    grammar, ids = JsonGrammar(TOKENIZER, SCHEMA, 200), list(prompt)
    while not grammar.whole:
        logits = model(torch.tensor([ids])).logits[0, -1].clone()
        grammar(grammar.answer, logits)
        grammar.add([int(logits.argmax())])
        ids.append(grammar.answer[-1])
    assert grammar.text == complete_json(model, TOKENIZER, prompt, SCHEMA, 200)


def test_a_grammar_follows_an_answer_that_somebody_else_decodes():
    grammar = JsonGrammar(TOKENIZER, {"type": "object", "properties": {}, "additionalProperties": False}, 9)
    answer = []
    for expected in ("{", "}"):
        logits = torch.zeros(300)
        grammar(answer, logits)
        assert logits.isfinite().nonzero()[:, 0].tolist() == TOKENIZER(expected)["input_ids"]
        answer += TOKENIZER(expected)["input_ids"]
    logits = torch.zeros(300)
    grammar(answer, logits)
    assert logits.isfinite().nonzero()[:, 0].tolist() == [TOKENIZER.eos_token_id] and json.loads(grammar.text) == {}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "any"},
        {"type": "array"},
        {"enum": []},
        {"const": 3},
        {"anyOf": []},
        {"type": "String"},
        {"type": ["integer", "null"]},
    ],
)
def test_schemas_of_others_can_be_enforced_whatever_they_lack(schema):
    whole = enforceable({"type": "dict", "properties": {"x": schema}, "required": ["x", "gone"]})
    assert list(json.loads(complete_json(tiny_llama(), TOKENIZER, [72, 105], whole, 20))) == ["x"]


def test_what_cannot_be_enforced_or_does_not_fit_is_refused():
    with pytest.raises(MigakiError, match="cannot be enforced"):
        JsonGrammar(TOKENIZER, {"type": "string", "not": {"const": "x"}, "pattern": "(?<=a)b"}, 10)
    with pytest.raises(MigakiError, match="context of 512"):
        complete_json(tiny_llama(), TOKENIZER, [1] * 500, SCHEMA, 100)


@pytest.mark.parametrize("family", FAMILIES)
def test_likelihoods_equal_those_of_whole_texts(family):
    model, prompt, options = FAMILIES[family](), TOKENIZER("Which one? ")["input_ids"], ["a", "get_weather", "calculate", "天気"]
    examples = [Example(prompt + TOKENIZER(option)["input_ids"], len(prompt)) for option in options]
    expected = [-score.nll for score in score_examples(model, examples)]
    assert option_logprobs(model, TOKENIZER, prompt, options) == pytest.approx(expected, abs=1e-3)
    assert option_logprobs(model, TOKENIZER, prompt, options[:1]) == pytest.approx(expected[:1], abs=1e-3)
    assert option_logprobs(model, TOKENIZER, prompt, []) == []


def test_an_empty_option_is_refused():
    with pytest.raises(MigakiError, match="option 1 of 2 is empty"):
        option_logprobs(tiny_llama(), TOKENIZER, [1], ["a", ""])
