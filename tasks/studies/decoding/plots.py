"""Plots of the decoding study: what a temperature does to a distribution, and diversity against correctness."""

import math
from collections.abc import Mapping, Sequence

import torch

from tasks.inference.request import BROKEN
from tasks.pages.charts import grouped_bars, labelled_points
from tasks.prompts.template import decode
from tasks.studies.decoding.study import CORRECTNESS, DISTINCT, DecodingStudy
from tasks.studies.figures import Figure
from tasks.studies.study import ALL, Item

LOGITS = (2.0, 1.0, 0.5, 0.2, 0.1)  # the textbook's example
TEMPERATURES = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0)  # those that it generates at, and those that it draws
TOKENS = 8  # the likeliest, that are drawn
LONGEST = 42  # characters of a prompt in a title


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
    asked = item.content["messages"][-1]["content"]
    return grouped_bars(
        f"Next token ({item.lang}): {asked[:LONGEST]}{'…' * (len(asked) > LONGEST)}",
        [token_label(decode(tokenizer, [token]), token) for token in likeliest],
        {f"T = {heat:g}": [softened(logits, heat)[token] for token in likeliest] for heat in TEMPERATURES},
        "token",
        "probability",
    )


def token_label(text: str, token: int) -> str:
    """A token as a reader can tell it: spaces and line ends seen, a part of a character by its id."""
    return f"#{token}" if BROKEN in text or not text else text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")


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
