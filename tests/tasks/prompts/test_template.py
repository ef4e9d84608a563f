"""One path from messages to ids: training, generation and chat see identical tokens."""

import pytest

from tasks.prompts.template import encode_answer, encode_example, encode_prompt, end_id, prompt_text
from tests.helpers.models import tiny_tokenizer

ASK = [{"role": "user", "content": "何ですか"}]


@pytest.mark.parametrize("chat_template", [True, False])
@pytest.mark.parametrize("answer", ["An answer.", "答えです。", " leading space", ""])
def test_training_and_generation_see_the_same_ids(chat_template, answer):
    tokenizer = tiny_tokenizer(chat_template)
    ids, start = encode_example(tokenizer, ASK, answer)
    assert ids[:start] == encode_prompt(tokenizer, ASK)
    assert ids[start:] == encode_answer(tokenizer, answer)
    assert tokenizer.decode(ids[start:-1]) == answer and ids[-1] == tokenizer.eos_token_id


def test_the_example_is_what_the_template_itself_writes():
    tokenizer = tiny_tokenizer()
    whole = tokenizer.apply_chat_template([*ASK, {"role": "assistant", "content": "答え"}], tokenize=True)
    assert encode_example(tokenizer, ASK, "答え")[0] == list(whole if isinstance(whole, list) else whole["input_ids"])


def test_alpaca_template_without_a_chat_template():
    text = prompt_text(tiny_tokenizer(chat_template=False), [{"role": "system", "content": "Be kind."}, *ASK])
    assert text == "Be kind.\n\n### Instruction:\n何ですか\n\n### Response:\n"


def test_end_token_is_the_one_behind_an_answer_not_eos():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace("<|end|>", "<|system|>")
    assert end_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|system|>")
