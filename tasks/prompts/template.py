"""The one code path from chat messages to token ids, for training, evaluation and chat alike.

A model's own chat template is used where it has one, else one by name (`tasks.prompts.templates`). The ids are those of
`apply_chat_template`, but that control strings in what people wrote are plain text (`tasks.prompts.control`), and that turns which the template
does not take are folded into those that it does (`tasks.prompts.chat_format`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.prompts.chat_format import ChatFormat, chat_format
from tasks.text.messages import Message, said

Span = tuple[int, int]


@dataclass(frozen=True)
class EncodedChat:
    """Ids of a conversation up to the end of an answer. `answers` are the tokens [start, stop) of the answers to learn, each with the token that
    ends it; `texts` says what they are."""

    ids: list[int]
    answers: tuple[Span, ...]
    texts: tuple[str, ...]


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """The prompt as text, special tokens included, ending where the answer begins."""
    format = chat_format(tokenizer)
    return format.controls.shown(format.render(format.fitted(messages).messages, ask=True))


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> list[int]:
    """Ids of the prompt, ending where the answer begins."""
    format = chat_format(tokenizer)
    return format.controls.encode(format.render(format.fitted(messages).messages, format.tools(tools), ask=True))


def encode_answer(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Ids of an answer and the token that ends it, as a model says them."""
    return _said(chat_format(tokenizer), answer)


def encode_example(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answer: str) -> tuple[list[int], int]:
    """Ids of prompt and answer, and the position at which the answer begins; the answer's tokens are `ids[start:]`, its end token included."""
    [encoded] = encode_chat(tokenizer, [*messages, {"role": "assistant", "content": answer}], learn="last")
    return encoded.ids, encoded.answers[0][0]


def encode_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = (), learn: str = "all"
) -> list[EncodedChat]:
    """A conversation that ends with an answer, with "all" its answers to learn or the "last" alone.

    One sequence, where rendering more of the conversation extends what was rendered of less; else each answer has a sequence of its own, with
    what the model sees before it (templates that drop earlier thoughts).

    Raises:
        MigakiError: the template refuses the conversation.
    """
    format = chat_format(tokenizer)
    fitted, offered = format.fitted(messages).messages, format.tools(tools)
    asked = next((place for place, message in enumerate(fitted) if message["role"] == "user"), len(fitted) - 2)
    answers = [place for place, message in enumerate(fitted) if message["role"] == "assistant" and place > asked]
    learnt = answers if learn == "all" else answers[-1:]
    together = _together(format, fitted[: answers[-1] + 1], offered, learnt)
    return [together] if together else [_alone(format, fitted[: place + 1], offered) for place in learnt]


def _together(format: ChatFormat, messages: list[Message], tools: Sequence[dict[str, Any]], learnt: list[int]) -> EncodedChat | None:
    """All in one sequence; None where the template does not let it be, or writes no end behind one of the answers."""
    whole = format.render(messages, tools)
    ids = format.controls.encode(whole)
    spans = list[Span]()
    for place in learnt:
        prompt = format.render(messages[:place], tools, ask=True)
        if not whole.startswith(prompt):
            return None
        start = _shared(ids, format.controls.encode(prompt))
        stop = _end(format, messages[: place + 1], tools, whole, ids, start)
        if stop is None or (spans and start < spans[-1][1]):
            return None
        spans.append((start, stop))
    return EncodedChat(ids[: spans[-1][1]], tuple(spans), tuple(said(messages[place]) for place in learnt))


def _end(
    format: ChatFormat, messages: list[Message], tools: Sequence[dict[str, Any]], whole: str, ids: list[int], start: int
) -> int | None:
    """Where the answer that begins at `start` and ends the messages is over: behind its end token, which it cannot hold itself."""
    stop = ids.index(format.end_id, start) + 1 if format.end_id in ids[start:] else None
    if not messages[-1].get("tool_calls"):
        return stop
    until = format.render(messages, tools)  # calls end as a template likes
    if not whole.startswith(until):
        return None
    limit = _shared(ids, format.controls.encode(until))
    return limit if stop is None else min(stop, limit)


def _alone(format: ChatFormat, messages: list[Message], tools: Sequence[dict[str, Any]]) -> EncodedChat:
    """The last answer alone, behind the very prompt that the model answers to."""
    encoded = _together(format, messages, tools, [len(messages) - 1])
    if encoded:
        return encoded
    prompt, text = format.controls.encode(format.render(messages[:-1], tools, ask=True)), said(messages[-1])
    answer = _said(format, text)
    return EncodedChat(prompt + answer, ((len(prompt), len(prompt) + len(answer)),), (text,))


def _said(format: ChatFormat, answer: str) -> list[int]:
    return [*format.controls.encode(format.controls.hidden(answer, "assistant")), format.end_id]


def _shared(a: list[int], b: list[int]) -> int:
    """Tokens that both begin with."""
    both = min(len(a), len(b))
    if a[:both] == b[:both]:
        return both
    return next(i for i in range(both) if a[i] != b[i])


def end_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token after which an answer is over: what the chat template puts behind one (Gemma's is not its eos), else eos.

    Raises:
        MigakiError: there is none.
    """
    return chat_format(tokenizer).end_id


def end_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Every token that ends an answer when a model generates it."""
    return {end_id(tokenizer)} | ({tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set())


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """These, and those that the model's own `generation_config` has (Llama 3.1 ends calls of tools with a token of its own)."""
    own = getattr(model.generation_config, "eos_token_id", None)
    return end_ids(tokenizer) | ({own} if isinstance(own, int) else set(own or ()))


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
    """Token ids as text."""
    return cast(str, tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))
