"""Records to token sequences: instruction rows with their answers, raw text as packed blocks."""

from collections import defaultdict
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from tasks.data.records import Instruction, Text
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.prompts.template import encode_example


def instruction_examples(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Instruction], max_tokens: int) -> tuple[list[Example], int]:
    """(examples, how many rows were left out): a row longer than `max_tokens` loses the end of its answer, one without any answer left is left out.

    Raises:
        MigakiError: the limit leaves no answer at all.
    """
    examples, left_out = [], 0
    for row in rows:
        ids, start = encode_example(tokenizer, row.messages, row.answer)
        if start >= max_tokens:
            left_out += 1
            continue
        kept = ids[:max_tokens]
        # Measured over the characters whose tokens are seen.
        characters = len(row.answer) if len(kept) == len(ids) else len(tokenizer.decode(kept[start:]))
        examples.append(Example(kept, start, characters, row.lang))
    if rows and not examples:
        raise MigakiError(f"all {len(rows)} answers are cut away: every prompt alone has {max_tokens} tokens or more. Raise tune.max_tokens (now {max_tokens}) or shorten the prompts")
    return examples, left_out


def packed_blocks(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Text], block_tokens: int) -> list[Example]:
    """Blocks of `block_tokens` tokens per language, texts joined by the end token; a last block that is not full is kept if half full."""
    streams: dict[str, list[int]] = defaultdict(list)
    for text in texts:
        streams[text.lang] += [*tokenizer(text.text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    blocks = []
    for lang, stream in streams.items():
        for start in range(0, len(stream), block_tokens):
            ids = stream[start : start + block_tokens]
            if len(ids) >= block_tokens // 2:
                blocks.append(Example(ids, 1, len(tokenizer.decode(ids)), lang))
    return blocks
