"""One model on all items: every answer and every score as a row."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from tasks.evaluation.items import Item, Items
from tasks.evaluation.settings import EvaluateSettings
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.batching import Example
from tasks.models.likelihood import score_examples
from tasks.progress import Bar
from tasks.prompts.template import decode, encode_example, encode_prompt, end_ids
from tasks.rag.retrieval import Retriever, document_rank
from tasks.text.measures import is_refusal

Row = dict[str, Any]
LEAST_SCORED = 8  # tokens of an answer that is cut: a loss over fewer says nothing of it


def row_for(model: str, item: Item, suite: str, **values: Any) -> Row:
    """A row of `evaluation_answers`."""
    return {
        "model": model,
        "suite": suite,
        "item_id": item.id,
        "lang": item.lang,
        "prompt": item.messages[-1]["content"],
        "reference": item.reference,
    } | values


def text_of(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """What an answer says, without special tokens."""
    return decode(tokenizer, ids, skip_special_tokens=True).strip()


def loss_example(tokenizer: PreTrainedTokenizerBase, item: Item, max_tokens: int) -> Example | None:
    """The reference as an answer, cut where question and answer take more tokens, with the characters that are left of it; None where the
    question leaves room for so few that they would say nothing of the answer."""
    ids, start = encode_example(tokenizer, item.messages, item.reference)
    if len(ids) <= max_tokens:
        return Example(ids, start, len(item.reference), item.lang)
    if max_tokens - start < LEAST_SCORED:
        return None
    return Example(ids[:max_tokens], start, len(decode(tokenizer, ids[start:max_tokens], skip_special_tokens=True)), item.lang)


def answer_losses(
    name: str, model: nn.Module, tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], max_tokens: int, bar: Bar
) -> list[Row]:
    """Negative log-likelihood (nats) of the reference answers, for the items whose question leaves room for them."""
    found = [(item, example) for item in items if (example := loss_example(tokenizer, item, max_tokens)) is not None]
    scores = score_examples(model, [example for _, example in found], on_batch=bar.advance)
    return [
        row_for(name, item, "loss", loss=score.nll, characters=score.characters, tokens=score.tokens)
        for (item, _), score in zip(found, scores, strict=True)
    ]


def sampled_answers(
    name: str, model: nn.Module, tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], settings: EvaluateSettings, bar: Bar
) -> tuple[list[Row], list[Example]]:
    """An answer to every prompt, the same seeds for every model; as rows, and as the very tokens, which is what a reward model must see."""
    prompts = [encode_prompt(tokenizer, item.messages) for item in items]
    answers = sample(
        model,
        prompts,
        SamplingParams(settings.answer_tokens, end_ids(tokenizer), settings.temperature, seed=settings.seed),
        batch=48,
        on_progress=bar.advance,
    )
    rows = []
    for item, answer in zip(items, answers, strict=True):
        text = text_of(tokenizer, answer.ids)
        rows.append(row_for(name, item, "answers", answer=text, tokens=len(answer.ids), characters=len(text), refused=is_refusal(text)))
    return rows, [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]


def choices(name: str, model: nn.Module, tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], bar: Bar) -> list[Row]:
    """Multiple choice: the choice with the highest log-likelihood per character is the answer. The right one comes first in the item."""
    examples = [
        Example(*encode_example(tokenizer, item.messages, choice), len(choice), item.lang) for item in items for choice in item.choices
    ]
    scores = iter(score_examples(model, examples, on_batch=bar.advance))
    rows = []
    for item in items:
        values = [next(scores).per_character for _ in item.choices]
        best = values.index(min(values))
        rows.append(row_for(name, item, "choices", answer=item.choices[best], correct=best == 0))
    return rows


def retrieval_ranks(retriever: Retriever, items: Items) -> list[tuple[Item, int]]:
    """For each question whose document is known, the rank at which the index finds it (0: not among ten)."""
    return [
        (item, document_rank(retriever.search(item.messages[-1]["content"], 20), item.document))
        for item in items.questions
        if item.document
    ]
