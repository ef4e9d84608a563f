"""Conversations fitted to the template, found by asking it; templates by name, thoughts and dates."""

import re

import pytest

from tasks.errors import MigakiError
from tasks.prompts.chat_format import chat_format, freeze_date
from tasks.prompts.template import decode, encode_chat, encode_example, encode_prompt, end_id, prompt_text
from tasks.prompts.templates import TEMPLATES as NAMED
from tasks.prompts.templates import settle, template_name
from tests.helpers.chat_templates import TEMPLATES
from tests.helpers.tokenizers import trained

TEXTS = ["Where do we keep the kiln? On shelf 7."] * 20
USER, ANSWER, SYSTEM = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}
CALL = {"id": "call00001", "type": "function", "function": {"name": "find", "arguments": {"item": "kiln"}}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "name": "find", "tool_call_id": "call00001", "content": "shelf 7"}
TOOL = {"type": "function", "function": {"name": "find", "description": "finds", "parameters": {"type": "object", "properties": {}}}}


def tokenizer_of(shape, thinking=False):
    return settle(trained("bytes", TEXTS, TEMPLATES[shape]), thinking=thinking)


def learnt(tokenizer, encoded):
    return [decode(tokenizer, encoded.ids[start:stop]) for start, stop in encoded.answers]


@pytest.mark.parametrize(
    ("shape", "messages", "fitted", "note"),
    [
        ("gemma", [SYSTEM, USER], [("user", "s\n\nq")], "system turns folded"),
        ("mistral", [SYSTEM, USER, ANSWER, USER], [("user", "s\n\nq"), ("assistant", "a"), ("user", "q")], "system turns folded"),
        ("gemma", [USER, USER], [("user", "q\n\nq")], "the same role joined"),
        ("llama2", [SYSTEM, SYSTEM, USER], [("system", "s\n\ns"), ("user", "q")], "later system turns"),
        (
            "llama2",
            [SYSTEM, USER, ANSWER, SYSTEM, USER],
            [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "s\n\nq")],
            "later system",
        ),
        ("gemma", [ANSWER, USER], [("user", "q")], "answers before the first question left out"),
        ("gemma", [USER, SYSTEM], [("user", "q\n\ns")], "system turns folded"),
        (
            "mistral",
            [USER, CALLING, RESULT],
            [("user", "q"), ("assistant", '{"name": "find", "arguments": {"item": "kiln"}}'), ("user", "find: shelf 7")],
            "calls of tools",
        ),
        (
            "chatml",
            [SYSTEM, SYSTEM, USER, USER, ANSWER],
            [("system", "s"), ("system", "s"), ("user", "q"), ("user", "q"), ("assistant", "a")],
            None,
        ),
    ],
)
def test_what_a_template_does_not_take_is_folded_into_what_it_does(shape, messages, fitted, note):
    tokenizer = tokenizer_of(shape)
    found = chat_format(tokenizer).fitted(messages)
    assert [(message["role"], message["content"]) for message in found.messages] == fitted
    assert (note in "; ".join(found.notes)) if note else found.notes == []
    assert prompt_text(tokenizer, messages)  # and the template takes it


def test_a_conversation_that_the_template_refuses_all_the_same_is_refused_by_name():
    tokenizer = trained("bytes", TEXTS, "{{ raise_exception('never') }}")
    with pytest.raises(MigakiError, match=r"chat template refuses a conversation of user: TemplateError: never"):
        encode_prompt(tokenizer, [USER])


def test_every_answer_is_learnt_with_its_end_or_the_last_alone():
    tokenizer = tokenizer_of("chatml")
    chat = [SYSTEM, USER, ANSWER, USER, {"role": "assistant", "content": "b c"}, USER, {"role": "assistant", "content": "窯"}]
    [encoded] = encode_chat(tokenizer, chat)
    assert learnt(tokenizer, encoded) == ["a<|im_end|>", "b c<|im_end|>", "窯<|im_end|>"] and encoded.texts == ("a", "b c", "窯")
    [last] = encode_chat(tokenizer, chat, learn="last")
    assert learnt(tokenizer, last) == ["窯<|im_end|>"] and last.ids == encoded.ids
    assert encode_example(tokenizer, chat[:-1], "窯") == (last.ids, last.answers[0][0])


def test_where_a_template_rewrites_earlier_turns_each_answer_is_learnt_behind_what_the_model_sees():
    tokenizer = tokenizer_of("qwen3")
    first, second = encode_chat(tokenizer, [USER, ANSWER, USER, {"role": "assistant", "content": "b"}])
    assert learnt(tokenizer, first) == ["a<|im_end|>"] and learnt(tokenizer, second) == ["b<|im_end|>"]
    for encoded, asked in ((first, [USER]), (second, [USER, ANSWER, USER])):
        assert encoded.ids[: encoded.answers[0][0]] == encode_prompt(tokenizer, asked)
    assert decode(tokenizer, second.ids).count("<think>") == 1


def test_thoughts_are_closed_unless_they_are_wanted():
    assert prompt_text(tokenizer_of("qwen3"), [USER]).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert prompt_text(tokenizer_of("qwen3", thinking=True), [USER]).endswith("<|im_start|>assistant\n")
    assert prompt_text(tokenizer_of("deepseek-r1"), [USER]).endswith("<|Assistant|><think>\n</think>\n\n")
    assert prompt_text(tokenizer_of("deepseek-r1", thinking=True), [USER]).endswith("<|Assistant|><think>\n")
    [encoded] = encode_chat(tokenizer_of("deepseek-r1"), [USER, ANSWER])
    assert encoded.ids[: encoded.answers[0][0]] == encode_prompt(tokenizer_of("deepseek-r1"), [USER])


def test_thoughts_are_learnt_where_they_are_wanted_and_else_are_not():
    thought = {"role": "assistant", "content": "a", "reasoning_content": "hm <|im_end|>"}
    own = TEMPLATES["qwen3"].replace("{%- if '</think>' in m.content %}", "{{ m.reasoning_content }}{%- if '</think>' in m.content %}")
    for thinking, said in ((True, "<think>\nhm <|im_end|>\n</think>\n\na<|im_end|>"), (False, "a<|im_end|>")):
        tokenizer = settle(trained("bytes", TEXTS, own), thinking=thinking)
        [encoded] = encode_chat(tokenizer, [USER, thought])
        assert learnt(tokenizer, encoded) == [said]


def test_what_was_settled_stays_so_when_the_tokenizer_is_saved_and_opened_again(tmp_path):
    for thinking in (False, True):
        tokenizer = tokenizer_of("qwen3", thinking)
        tokenizer.save_pretrained(tmp_path)
        again = settle(type(tokenizer).from_pretrained(tmp_path))
        assert again.chat_template == tokenizer.chat_template


def test_what_a_template_begins_and_ends_with_stays(tmp_path):
    own = "\n  {% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}{# enable_thinking #}\n\n"
    tokenizer = trained("bytes", TEXTS, own)
    before = tokenizer.apply_chat_template([USER], tokenize=False)
    settle(tokenizer)
    assert tokenizer.chat_template != own and prompt_text(tokenizer, [USER]) == before


def test_calls_are_written_as_the_template_writes_them_and_results_are_not_learnt():
    tokenizer = tokenizer_of("qwen2.5")
    chat = [USER, CALLING, RESULT, {"role": "assistant", "content": "On shelf 7."}]
    [encoded] = encode_chat(tokenizer, chat, [TOOL])
    call = '<tool_call>\n{"name": "find", "arguments": {"item": "kiln"}}\n</tool_call><|im_end|>'
    assert learnt(tokenizer, encoded) == [call, "On shelf 7.<|im_end|>"]
    text = decode(tokenizer, encoded.ids)
    assert '"description": "finds"' in text and "<tool_response>\nshelf 7" in text
    plain = tokenizer_of("gemma")
    [encoded] = encode_chat(plain, chat, [TOOL])
    assert learnt(plain, encoded) == ['{"name": "find", "arguments": {"item": "kiln"}}<end_of_turn>', "On shelf 7.<end_of_turn>"]


def test_the_end_is_the_token_that_the_template_writes():
    for shape, end in (("gemma", "<end_of_turn>"), ("llama2", "</s>"), ("phi3", "<|end|>"), ("llama3", "<|eot_id|>"), ("vicuna", "</s>")):
        tokenizer = tokenizer_of(shape)
        assert tokenizer.convert_ids_to_tokens(end_id(tokenizer)) == end
    unnamed = trained("bytes", TEXTS, "{% for m in messages %}{{ m['content'] + '<tool_call>' }}{% endfor %}")  # added, but not special
    assert unnamed.convert_ids_to_tokens(end_id(unnamed)) == "<tool_call>"


def test_a_model_whose_answers_nothing_ends_is_refused():
    tokenizer = trained("bytes", TEXTS, "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    tokenizer.eos_token = None
    with pytest.raises(MigakiError, match="nothing ends an answer of this model"):
        end_id(tokenizer)


def test_a_date_in_the_template_is_the_datasets():
    tokenizer = tokenizer_of("llama3")
    assert "Today Date: 01 Jan 2025" not in prompt_text(tokenizer, [USER])
    freeze_date(tokenizer, "2025-01-01")
    assert "Today Date: 01 Jan 2025" in prompt_text(tokenizer, [USER])
    assert "strftime_now" in tokenizer.chat_template  # what is released tells the day
    with pytest.raises(MigakiError, match="'2025-13-01' is no day"):
        freeze_date(tokenizer, "2025-13-01")


@pytest.mark.parametrize("name", NAMED)
def test_a_model_without_a_template_gets_one_by_name(name):
    tokenizer = settle(trained("bytes", TEXTS), name)
    assert template_name(tokenizer) == name
    [encoded] = encode_chat(tokenizer, [SYSTEM, USER, ANSWER, USER, {"role": "assistant", "content": "b"}])
    assert learnt(tokenizer, encoded)[-1].strip() == "b</s>" and len(encoded.answers) == 2
    assert learnt(tokenizer, encoded)[0].strip() == "a</s>"
    assert encoded.ids[: encoded.answers[-1][0]] == encode_prompt(tokenizer, [SYSTEM, USER, ANSWER, USER])
    assert re.search(r"s\W+(?:### Instruction:|USER:|<\|im_start\|>user)\s+q", decode(tokenizer, encoded.ids))


def test_a_template_that_does_not_exist_is_refused_and_ones_own_is_kept():
    with pytest.raises(MigakiError, match="no chat template 'orca'; accepted: alpaca, vicuna, chatml"):
        settle(trained("bytes", TEXTS), "orca")
    assert template_name(tokenizer_of("gemma")) == "own"
    several = trained("bytes", TEXTS, {"default": TEMPLATES["gemma"], "tool_use": "x"})
    assert "<start_of_turn>" in prompt_text(settle(several), [USER])
