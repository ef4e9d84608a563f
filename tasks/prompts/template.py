"""The one code path from chat messages to token ids, for training, evaluation and chat alike.

A model's own chat template is used where it has one; where it has none, the Alpaca template (Taori et al. 2023). What comes out is ids, not
text: prompt and answer are tokenized apart, so an answer's tokens never depend on whether they were trained on or generated, and no
special token is ever added twice.
"""

from collections.abc import Sequence
from typing import cast

from transformers import PreTrainedTokenizerBase

from tasks.text.messages import Message

SENTINEL = "\u2603"  # stands for an answer when asking a template what follows one


def alpaca_prompt(messages: Sequence[Message]) -> str:
    """The Alpaca template over a conversation: system text first, earlier answers in place, ends where the answer begins."""
    parts = []
    for message in messages:
        heading = {"user": "### Instruction:\n", "assistant": "### Response:\n", "system": ""}[message["role"]]
        parts.append(heading + message["content"])
    return "\n\n".join([*parts, "### Response:\n"])


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """The prompt as text, special tokens included, ending where the answer begins."""
    if tokenizer.chat_template:
        return cast(str, tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False))
    return (tokenizer.bos_token or "") * _adds_bos(tokenizer) + alpaca_prompt(messages)


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Ids of the prompt, ending where the answer begins."""
    return tokenizer(prompt_text(tokenizer, messages), add_special_tokens=False)["input_ids"]


def encode_answer(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Ids of an answer and the token that ends it."""
    return tokenizer(answer, add_special_tokens=False)["input_ids"] + [end_id(tokenizer)]


def encode_example(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answer: str) -> tuple[list[int], int]:
    """Ids of prompt and answer, and the position at which the answer begins; the answer's tokens are `ids[start:]`, its end token included."""
    prompt = encode_prompt(tokenizer, messages)
    return prompt + encode_answer(tokenizer, answer), len(prompt)


def end_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token after which an answer is over: what the chat template puts behind one (Gemma's is not its eos), else eos."""
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
        behind = cast(str, tokenizer.apply_chat_template(messages, tokenize=False)).rpartition(SENTINEL)[2].strip()
        ids = tokenizer(behind, add_special_tokens=False)["input_ids"] if behind else []
        if ids and ids[0] in tokenizer.all_special_ids:
            return ids[0]
    return tokenizer.eos_token_id


def end_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Every token that ends an answer when a model generates it."""
    return {end_id(tokenizer), tokenizer.eos_token_id}


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
    """Token ids as text."""
    return cast(str, tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))


def _adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether this tokenizer itself starts a text with its bos token (Llama does, GPT-2 does not)."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
