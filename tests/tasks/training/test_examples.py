"""From records to examples: what the length limit cuts is counted, and packed text loses nothing."""

import pytest

from tasks.data.records import Instruction, Text
from tasks.errors import MigakiError
from tasks.models.batching import Example
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
