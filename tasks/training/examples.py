"""Records to token sequences: instruction rows with their answers, raw text as packed blocks."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedTokenizerBase

from tasks.data.records import Instruction, Text
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.families import context_length
from tasks.models.trunk import causal_lm
from tasks.prompts.template import encode_example


@dataclass
class Encoded:
    """Examples, and what the length limit did to the rows they come from."""

    examples: list[Example] = field(default_factory=list)
    shortened: int = 0  # rows that lost the end of their answer
    left_out: int = 0  # rows without a single answer token left


def encode_instructions(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Instruction], max_tokens: int, setting: str) -> Encoded:
    """Rows as examples of at most `max_tokens` tokens. The end of a longer answer is cut; a row that keeps nothing of its answer is left out.

    Args:
        setting: the name of the setting that the limit comes from, for the message.

    Raises:
        MigakiError: the limit leaves no answer at all; training would then run to its end and learn nothing.
    """
    encoded = Encoded()
    shortest = 0
    for row in rows:
        ids, start = encode_example(tokenizer, row.messages, row.answer)
        if start >= max_tokens:
            encoded.left_out += 1
            shortest = min(shortest or start, start)
            continue
        kept = ids[:max_tokens]
        encoded.shortened += len(kept) < len(ids)
        # A loss per character counts the characters whose tokens are seen.
        characters = len(row.answer) if len(kept) == len(ids) else len(tokenizer.decode(kept[start:]))
        encoded.examples.append(Example(kept, start, characters, row.lang))
    if rows and not encoded.examples:
        raise MigakiError(
            f"{setting} = {max_tokens} cuts away all {len(rows)} answers: the shortest prompt alone has {shortest} tokens. "
            f"Accepted: {setting} above {shortest}, or shorter prompts"
        )
    return encoded


def packed_blocks(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Text], block_tokens: int) -> list[Example]:
    """Blocks of `block_tokens` tokens, one stream per language, every text followed by the end token.

    A block may hold the end of one text and the beginning of the next, with attention across (Brown et al. 2020, appendix B). The rest of a
    stream is a block of its own when it is at least half full or all that its language has.
    """
    streams: dict[str, list[int]] = defaultdict(list)
    for text in texts:
        streams[text.lang] += [*tokenizer(text.text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    blocks = []
    for lang, stream in streams.items():
        for start in range(0, len(stream), block_tokens):
            ids = stream[start : start + block_tokens]
            if len(ids) >= block_tokens // 2 or (start == 0 and len(ids) > 1):
                blocks.append(Example(ids, 1, len(tokenizer.decode(ids[1:])), lang))
    return blocks


def spread(blocks: Sequence[Example], limit: int) -> list[Example]:
    """At most `limit` blocks (0: all), the same number of each language as far as there are so many, evenly spread over each language's text."""
    if not limit or len(blocks) <= limit:
        return list(blocks)
    by_lang: dict[str, list[Example]] = defaultdict(list)
    for block in blocks:
        by_lang[block.lang].append(block)
    chosen: list[Example] = []
    # Small languages first: what they lack goes to the others.
    for left, group in zip(range(len(by_lang), 0, -1), sorted(by_lang.values(), key=len), strict=True):
        share = min(len(group), (limit - len(chosen)) // left)
        chosen += [group[i * len(group) // share] for i in range(share)]
    return chosen


def within_context(model: nn.Module, tokens: int) -> int:
    """`tokens`, or the model's context length where that is less."""
    return min(tokens, context_length(causal_lm(model).config) or tokens)
