"""What is learnt of small inputs that once failed: every answer, and nothing else."""

import pytest

from tasks.data.normalise import instruction
from tasks.data.rows import LeftOut
from tasks.data.sources import read_rows
from tasks.documents.tables import BadRow
from tasks.prompts.chat_format import chat_format
from tasks.prompts.templates import settle
from tasks.text.messages import said
from tasks.training.examples import Limit, encode_instructions
from tests.helpers.chat_templates import TEMPLATES
from tests.helpers.shared import CASES, needs_cases
from tests.helpers.tokenizers import trained

FILES = {  # with the answers of a row
    "alpaca_sys.jsonl": 2,
    "system.jsonl": 1,
    "empty_system.jsonl": 1,
    "multiturn.jsonl": 3,
    "consecutive.jsonl": 1,
    "trailing.jsonl": 1,
    "tools.jsonl": 2,
    "sharegpt.jsonl": 1,
    "inject.jsonl": 1,
    "surrogate.jsonl": 1,
    "intents.jsonl": 1,
    "excel.csv": 1,
    "utf16.csv": 1,
    "semicolon.csv": 1,
    "kto.jsonl": 1,
}


def records(file):
    for row in read_rows(CASES / "training" / file):
        try:
            if not isinstance(row, BadRow):
                yield instruction(row.value, row.source)
        except LeftOut:
            pass


@needs_cases
@pytest.mark.parametrize("shape", ["qwen2.5", "gemma", "llama2"])
@pytest.mark.parametrize("file", FILES)
def test_every_answer_is_learnt_and_nothing_else(file, shape):
    rows = list(records(file))
    tokenizer = settle(trained("bytes", [said(message) for row in rows for message in row.chat] * 3, TEMPLATES[shape], 700))
    format = chat_format(tokenizer)
    end = tokenizer.convert_ids_to_tokens(format.end_id)
    encoded = encode_instructions(tokenizer, rows, Limit(4000))
    assert encoded.left_out == encoded.cut_tokens == 0 and len(encoded.examples) == len(rows) > 5
    assert encoded.turns == FILES[file] * len(rows)
    for row, example in zip(rows, encoded.examples, strict=True):
        learnt = [tokenizer.decode(example.ids[start:stop]).removesuffix(end).strip() for start, stop in example.spans]
        answers = [message for message in row.chat if message["role"] == "assistant"]
        for text, message in zip(learnt, answers, strict=True):
            called = message.get("tool_calls")
            assert text == said(message) if not (called and format.takes_calls) else text.startswith("<tool_call>") and "find" in text


@needs_cases
def test_no_control_token_comes_from_the_texts():
    rows = list(records("inject.jsonl"))
    tokenizer = settle(trained("bytes", [row.answer for row in rows] * 3, TEMPLATES["phi3"], 700))
    controls = set(chat_format(tokenizer).controls.ids_of.values())
    counts = {sum(token in controls for token in example.ids) for example in encode_instructions(tokenizer, rows, Limit(4000)).examples}
    assert counts == {4}  # two roles and two ends
