"""Plots of the decoding study: what a temperature does to a distribution, and diversity against correctness."""

import math
from collections.abc import Mapping, Sequence

import torch
from rich.cells import cell_len, set_cell_size
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.inference.request import BROKEN
from tasks.inference.sampling import SamplingParams, sample
from tasks.pages.charts import grouped_bars, labelled_points
from tasks.prompts.template import decode, stop_ids
from tasks.studies.decoding.study import CORRECTNESS, DISTINCT, DecodingStudy
from tasks.studies.figures import Figure
from tasks.studies.study import ALL, Item

LOGITS = (2.0, 1.0, 0.5, 0.2, 0.1)  # the textbook's example
TEMPERATURES = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0)  # those that it generates at, and those that it draws
TOKENS = 8  # the likeliest, that are drawn
WIDEST = 62  # columns of a title, of which a Japanese character takes two
CHARACTER = 3  # tokens that a character may take after its first one


def softened(logits: Sequence[float] | torch.Tensor, temperature: float) -> list[float]:
    """softmax(logits / temperature)."""
    return torch.softmax(torch.as_tensor(logits, dtype=torch.float64) / temperature, -1).tolist()


def example_plot() -> str:
    """The textbook's five logits at each temperature."""
    return grouped_bars(
        "Five logits at several temperatures",
        [f"{logit:g}" for logit in LOGITS],
        {f"T = {heat:g}": softened(LOGITS, heat) for heat in TEMPERATURES},
        "logit",
        "probability",
    )


@torch.no_grad()
def next_token_plot(study: DecodingStudy, item: Item) -> str:
    """The model's likeliest next tokens after an item's prompt, and what each temperature makes of them."""
    model, tokenizer = study.model
    ids = torch.tensor([study.prompt_ids(item)], device=model.device)
    logits = model(input_ids=ids).logits[0, -1].double().cpu()
    likeliest = logits.topk(min(TOKENS, len(logits))).indices.tolist()
    bars = {heat: softened(logits, heat) for heat in TEMPERATURES}
    title = f"Next token ({item.lang}): {item.content['messages'][-1]['content']}"
    return grouped_bars(
        title if cell_len(title) <= WIDEST else f"{set_cell_size(title, WIDEST - 1).rstrip()}…",
        token_labels(model, tokenizer, ids[0].tolist(), likeliest),
        {f"T = {heat:g}": [bar[token] for token in likeliest] for heat, bar in bars.items()},
        "token (*: a part of this character)",
        "probability",
    )


def token_labels(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], tokens: Sequence[int]) -> list[str]:
    """Tokens that may follow a prompt as a reader can tell them: spaces and line ends seen, and a part of a character as the character that the model
    makes of it, by the likeliest tokens, with a *. What becomes none is told by its id."""
    labels = {token: decode(tokenizer, [token]) for token in tokens}
    if parts := [token for token in tokens if BROKEN in labels[token]]:
        ends = SamplingParams(CHARACTER, stop_ids(model, tokenizer), temperature=0)
        for token, rest in zip(parts, sample(model, [[*prompt, token] for token in parts], ends), strict=True):
            begun = (decode(tokenizer, [token, *rest.ids[:count]]) for count in range(1, len(rest.ids) + 1))
            labels[token] = next((f"{text}*" for text in begun if BROKEN not in text), "")
    seen = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})
    return [labels[token].translate(seen) or f"#{token}" for token in tokens]


def trade_off_plot(found: Sequence[Figure], arms: Sequence[str], title: str = "Diversity against correctness") -> str:
    """A point for each arm: distinct-2 of a prompt's answers against correctness, over all languages."""
    langs = {figure.lang for figure in found}
    lang = ALL if ALL in langs else next(iter(langs))
    values: dict[str, Mapping[str, float]] = {
        measure: {one.arm: one.interval.value for one in found if (one.measure, one.lang, one.against) == (measure, lang, "")}
        for measure in (CORRECTNESS, DISTINCT)
    }
    points = {arm: (values[DISTINCT].get(arm, math.nan), values[CORRECTNESS].get(arm, math.nan)) for arm in arms}
    return labelled_points(title, points, "distinct-2 of a prompt's answers", "correctness")
