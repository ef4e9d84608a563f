"""From records to examples: what the length limit cuts is counted, and packed text loses nothing."""

import pytest

from tasks.data.records import Instruction, Text
from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.models.likelihood import score_examples
from tasks.prompts.template import encode_example, end_id
from tasks.training.examples import Limit, encode_instructions, packed_blocks, spread, within_context
from tests.helpers.models import tiny_llama, tiny_tokenizer


def row(question: str, answer: str, lang: str = "en") -> Instruction:
    return Instruction(id=question, messages=[{"role": "user", "content": question}], answer=answer, lang=lang, source="test")


@pytest.mark.parametrize("chat_template", [True, False])
def test_examples_are_those_of_the_one_template(chat_template):
    tokenizer = tiny_tokenizer(chat_template)
    instruction = row("なぜ?", "空が青いから", "ja")
    [example] = encode_instructions(tokenizer, [instruction], Limit(500)).examples
    ids, start = encode_example(tokenizer, instruction.messages, instruction.answer)
    assert (example.ids, example.answer_start, example.characters, example.lang) == (ids, start, 6, "ja")
    assert example.ids[-1] == end_id(tokenizer)


def test_cut_rows_are_counted():
    tokenizer = tiny_tokenizer()
    rows = [row("a", "short"), row("b", "x" * 100), row("q" * 100, "lost")]
    encoded = encode_instructions(tokenizer, rows, Limit(40))
    assert (encoded.shortened, encoded.left_out) == (1, 1)
    assert [len(example.ids) for example in encoded.examples][1] == 40
    cut = encoded.examples[1]
    assert cut.characters == len(tokenizer.decode(cut.ids[cut.answer_start :])) == 40 - cut.answer_start


def test_a_limit_that_leaves_no_answer_is_refused():
    with pytest.raises(MigakiError, match=r"tune.max_tokens = 8 cuts away all 2 answers: the shortest prompt alone has 13 tokens"):
        encode_instructions(tiny_tokenizer(), [row("q" * 10, "a"), row("q" * 30, "b")], Limit(8))


def test_packed_blocks_hold_every_token_once_and_end_every_text():
    tokenizer = tiny_tokenizer()
    texts = [Text("1", "hello world", "en", ""), Text("2", "日本語の文", "ja", ""), Text("3", "more english text here", "en", "")]
    blocks = packed_blocks(tokenizer, texts, 16)
    english = [token for block in blocks if block.lang == "en" for token in block.ids]
    end = tokenizer.eos_token_id
    whole = [*tokenizer("hello world")["input_ids"], end, *tokenizer("more english text here")["input_ids"], end]
    assert english == whole[: len(english)] and len(whole) - len(english) < 8
    assert all(len(block.ids) <= 16 and block.answer_start == 1 for block in blocks)
    assert [token for block in blocks if block.lang == "ja" for token in block.ids] == [*tokenizer("日本語の文")["input_ids"], end]


def test_a_language_with_little_text_keeps_its_only_block():
    [block] = packed_blocks(tiny_tokenizer(), [Text("1", "短", "ja", "")], 512)
    assert (block.lang, len(block.ids), block.characters) == ("ja", 4, len(tiny_tokenizer().decode(block.ids[1:])))


def test_spread_balances_languages_and_covers_the_text():
    blocks = [Example([i], 1, 1, "en") for i in range(90)] + [Example([i], 1, 1, "ja") for i in range(3)]
    chosen = spread(blocks, 13)
    assert [block.lang for block in chosen].count("ja") == 3 and len(chosen) == 13
    english = [block.ids[0] for block in chosen if block.lang == "en"]
    assert english == [i * 9 for i in range(10)]
    assert spread(blocks, 0) == blocks


def test_rows_never_exceed_the_context():
    assert within_context(tiny_llama(), 1000) == 512
    assert within_context(tiny_llama(), 100) == 100


def chat(*texts, lang="en"):
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return Instruction(id=texts[0], messages=messages[:-1], answer=texts[-1], lang=lang, source="test")


def learnt(tokenizer, example):
    return [tokenizer.decode(example.ids[start:stop]) for start, stop in example.spans]


def test_every_answer_of_a_conversation_is_learnt():
    tokenizer = tiny_tokenizer()
    row_of_three = chat("q1", "a1", "q2", "a2", "q3", "答え")
    encoded = encode_instructions(tokenizer, [row_of_three], Limit(500))
    [example] = encoded.examples
    assert learnt(tokenizer, example) == ["a1<|end|>", "a2<|end|>", "答え<|end|>"] and encoded.turns == 3
    assert example.characters == len("a1a2答え") and encoded.answer_tokens == example.answer_tokens and encoded.cut_share == 0
    [last] = encode_instructions(tokenizer, [row_of_three], Limit(500), "last").examples
    assert learnt(tokenizer, last) == ["答え<|end|>"]
    batch = collate([example, last], [0, 1], pad_id=0)
    assert batch.answer_tokens.tolist() == [example.answer_tokens, last.answer_tokens]
    assert tokenizer.decode(batch.targets.tolist()) == "a1<|end|>a2<|end|>答え<|end|>答え<|end|>"


def test_the_loss_of_a_conversation_is_that_of_its_answers():
    tokenizer, model = tiny_tokenizer(), tiny_llama()
    row_of_two = chat("q1", "a1", "q2", "a2")
    [example] = encode_instructions(tokenizer, [row_of_two], Limit(500)).examples
    first = Example(example.ids[: example.spans[0][1]], example.spans[0][0])
    second = Example(example.ids, example.answer_start)
    whole, one, two = score_examples(model, [example, first, second])
    assert whole.nll == pytest.approx(one.nll + two.nll, rel=1e-5) and whole.tokens == one.tokens + two.tokens


def test_a_cut_conversation_says_what_it_lost():
    tokenizer = tiny_tokenizer()
    rows = [chat("q1", "a" * 10, "q2", "b" * 50)]
    whole = encode_instructions(tokenizer, rows, Limit(500))
    [example] = whole.examples
    limit = len(example.ids) - 20
    cut = encode_instructions(tokenizer, rows, Limit(limit))
    assert (cut.shortened, cut.left_out, cut.cut_tokens, cut.cut_rows) == (1, 0, 20, {"q1": 20})
    assert cut.examples[0].characters == 10 + len(tokenizer.decode(cut.examples[0].ids[cut.examples[0].answer_start :]))
    first_only = encode_instructions(tokenizer, rows, Limit(example.answer_start))
    assert learnt(tokenizer, first_only.examples[0]) == ["a" * 10 + "<|end|>"] and first_only.longest == whole.longest == len(example.ids)


def test_the_oldest_turns_go_where_the_settings_say_so():
    tokenizer = tiny_tokenizer()
    system = {"role": "system", "content": "Be brief."}
    long = chat("q1", "a" * 30, "q2", "b" * 30, "q3", "c" * 10)
    row_with_system = Instruction("r", [system, *long.messages], long.answer, "en", "test")
    limit = len(encode_example(tokenizer, [system, *long.messages[4:]], long.answer)[0])
    encoded = encode_instructions(tokenizer, [row_with_system], Limit(limit + 3, "start"))
    [example] = encoded.examples
    assert tokenizer.decode(example.ids) == "<|system|>Be brief.<|end|><|user|>q3<|end|><|assistant|>" + "c" * 10 + "<|end|>"
    assert encoded.shortened == 1 and encoded.cut_rows == {"r": 62}  # two answers of 30 and their ends
    [example] = encode_instructions(tokenizer, [row_with_system], Limit(limit - 3, "start")).examples
    assert tokenizer.decode(example.ids).endswith("<|assistant|>" + "c" * 8)


def test_rows_that_the_template_refuses_are_counted_and_none_left_is_an_error():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{%- if 'never' in messages[0]['content'] %}{{ raise_exception('never') }}{%- endif %}" + tokenizer.chat_template
    )
    encoded = encode_instructions(tokenizer, [row("never", "a"), row("q", "a")], Limit(500))
    assert len(encoded.examples) == 1 and encoded.left_out == 1 and encoded.notes == {"rows that the chat template refuses, left out": 1}
    with pytest.raises(MigakiError, match="no row can be learnt: the model's chat template refuses"):
        encode_instructions(tokenizer, [row("never", "a")], Limit(500))
