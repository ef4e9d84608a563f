"""Records to token sequences: instruction rows with their answers, raw text as packed blocks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from transformers import PreTrainedTokenizerBase

from tasks.data.records import Instruction, Text
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.families import context_length
from tasks.models.trunk import causal_lm
from tasks.prompts.chat_format import chat_format
from tasks.prompts.template import EncodedChat, decode, encode_chat


@dataclass
class Encoded:
    """Examples, and what the length limit did to the rows they come from."""

    examples: list[Example] = field(default_factory=list)
    shortened: int = 0  # rows that lost the end of an answer, or turns
    left_out: int = 0  # rows without a single answer token left
    answer_tokens: int = 0  # of all rows, before anything was cut
    cut_tokens: int = 0  # of these, what is not learnt
    cut_rows: dict[str, int] = field(default_factory=dict)  # answer tokens that were cut, by the rows' ids
    notes: Counter[str] = field(default_factory=Counter)  # what was done to rows so that the template takes them
    turns: int = 0  # answers to learn
    longest: int = 0  # tokens of the longest row, before anything was cut

    @property
    def cut_share(self) -> float:
        """Of the answer tokens."""
        return self.cut_tokens / max(1, self.answer_tokens)


@dataclass(frozen=True)
class Limit:
    """The length of examples in tokens. What goes of a longer row is the `end` of its answers, or its oldest turns (`start`), and then the end."""

    tokens: int
    cuts: Literal["end", "start"] = "end"
    setting: str = "tune.max_tokens"  # for messages


def encode_instructions(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Instruction],
    limit: Limit,
    learn: Literal["all", "last"] = "all",
    strict: bool = True,
) -> Encoded:
    """Rows as examples within the limit; a row that keeps nothing of its answers is left out.

    Raises:
        MigakiError: the limit leaves no answer at all, and `strict`: training would then run to its end and learn nothing. Or the template refuses
            every row.
    """
    encoded, format, refused, shortest = Encoded(), chat_format(tokenizer), "", 0
    for row in rows:
        try:
            chats = encode_chat(tokenizer, row.chat, row.tools, learn)
            within = _without_oldest(tokenizer, row, limit, learn) if limit.cuts == "start" and _too_long(chats, limit) else chats
        except MigakiError as error:
            encoded.left_out, refused = encoded.left_out + 1, str(error)
            encoded.notes["rows that the chat template refuses, left out"] += 1
            continue
        encoded.notes.update(format.fitted(row.chat).notes)
        encoded.longest = max(encoded.longest, *(len(chat.ids) for chat in chats))
        before, kept = _answer_tokens(chats), [_cut(tokenizer, chat, limit.tokens, row.lang) for chat in within]
        examples = [example for example in kept if example]
        encoded.examples += examples
        encoded.turns += sum(1 + len(example.earlier) for example in examples)
        cut = before - sum(example.answer_tokens for example in examples)
        encoded.answer_tokens, encoded.cut_tokens = encoded.answer_tokens + before, encoded.cut_tokens + cut
        if cut:
            encoded.cut_rows[row.id] = cut
        if not examples:
            encoded.left_out += 1
            first = min(chat.answers[0][0] for chat in chats)
            shortest = min(shortest or first, first)
        else:
            encoded.shortened += bool(cut)
    if rows and not encoded.examples and strict:
        if not shortest:
            raise MigakiError(f"no row can be learnt: {refused}")
        raise MigakiError(
            f"{limit.setting} = {limit.tokens} cuts away all {len(rows)} answers: the shortest prompt alone has {shortest} tokens. "
            f"Accepted: {limit.setting} above {shortest}, or shorter prompts"
        )
    return encoded


def _too_long(chats: Sequence[EncodedChat], limit: Limit) -> bool:
    return any(len(chat.ids) > limit.tokens for chat in chats)


def _answer_tokens(chats: Sequence[EncodedChat]) -> int:
    return sum(stop - start for chat in chats for start, stop in chat.answers)


def _without_oldest(tokenizer: PreTrainedTokenizerBase, row: Instruction, limit: Limit, learn: str) -> list[EncodedChat]:
    """The row without as many of its oldest turns as do not fit; system texts at its beginning stay, and so does the last question."""
    chat = row.chat
    begun = next((place for place, message in enumerate(chat) if message["role"] != "system"), 0)
    questions = [place for place, message in enumerate(chat) if message["role"] == "user" and place > begun]
    chats: list[EncodedChat] = []
    for place in questions:
        chats = encode_chat(tokenizer, [*chat[:begun], *chat[place:]], row.tools, learn)
        if not _too_long(chats, limit):
            break
    return chats or encode_chat(tokenizer, chat, row.tools, learn)


def _cut(tokenizer: PreTrainedTokenizerBase, chat: EncodedChat, tokens: int, lang: str) -> Example | None:
    """The conversation's first `tokens` tokens; a loss per character counts the characters whose tokens are seen. None where no answer is left."""
    ids = chat.ids[:tokens]
    spans = [(start, min(stop, tokens)) for start, stop in chat.answers if start < tokens]
    if not spans:
        return None
    whole = [stop == before for (_, stop), (_, before) in zip(spans, chat.answers, strict=False)]
    texts = [
        text if all_of else decode(tokenizer, ids[start:stop])
        for (start, stop), all_of, text in zip(spans, whole, chat.texts, strict=False)
    ]
    *earlier, (start, stop) = spans
    return Example(ids[:stop], start, sum(map(len, texts)), lang, tuple(earlier))


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


def within_context(model: nn.Module, tokens: int, reserved: int = 0) -> int:
    """`tokens`, or what the model's context leaves beside `reserved` tokens where that is less."""
    context = context_length(causal_lm(model).config)
    return min(tokens, context - reserved) if context else tokens
