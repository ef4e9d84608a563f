"""Rows of answers to figures with intervals: one row of `evaluations` per model, metric and language."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from tasks.statistics import Interval, mean_interval, median, ratio_difference, ratio_interval
from tasks.text.measures import distinct_n

Row = dict[str, Any]
BENCHMARK = "benchmark."  # before a benchmark's name, in metrics and as the suite of its rows


def figure(model: str, metric: str, lang: str, interval: Interval | float, items: int = 0) -> Row:
    if isinstance(interval, Interval):
        return {
            "model": model,
            "metric": metric,
            "lang": lang,
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "items": interval.items,
        }
    return {"model": model, "metric": metric, "lang": lang, "value": interval, "low": None, "high": None, "items": items}


def by_language(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """("all", rows), then the rows of each language."""
    langs = sorted({row["lang"] for row in rows})
    return [("all", list(rows)), *[(lang, [row for row in rows if row["lang"] == lang]) for lang in langs]] if rows else []


def of(rows: Sequence[Row], model: str, suite: str) -> list[Row]:
    return [row for row in rows if row["model"] == model and row["suite"] == suite]


def _benchmarks(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["suite"] for row in rows if row["suite"].startswith(BENCHMARK)))


def model_figures(model: str, rows: Sequence[Row], resamples: int) -> list[Row]:
    """All figures of one model."""
    figures = []
    for lang, own in by_language(of(rows, model, "loss")):
        figures.append(
            figure(
                model,
                "answer_loss_per_character",
                lang,
                ratio_interval([r["loss"] for r in own], [r["characters"] for r in own], resamples),
            )
        )
    for lang, own in by_language(of(rows, model, "answers")):
        for metric, column in (("reward", "reward"), ("second_reward", "second_reward")):
            if own[0].get(column) is not None:
                figures.append(figure(model, metric, lang, mean_interval([r[column] for r in own], resamples)))
        figures.append(figure(model, "refusals", lang, mean_interval([float(r["refused"]) for r in own], resamples)))
        figures.append(figure(model, "median_tokens", lang, float(median([r["tokens"] for r in own])), len(own)))
        figures.append(figure(model, "distinct_2", lang, distinct_n([r["answer"] for r in own], [r["lang"] for r in own]), len(own)))
    for lang, own in by_language(of(rows, model, "choices")):
        figures.append(figure(model, "choice_accuracy", lang, mean_interval([float(r["correct"]) for r in own], resamples)))
    for suite in _benchmarks(rows):
        if own := of(rows, model, suite):
            figures.append(figure(model, suite, "all", mean_interval([float(r["correct"]) for r in own], resamples)))
    return figures


def paired(
    rows: Sequence[Row],
    model: str,
    reference: str,
    suite: str,
    values: Callable[[Row], float],
    sizes: Callable[[Row], float],
    resamples: int,
) -> list[tuple[str, Interval]]:
    """(language, difference of model and reference) over the items that both have."""
    other = {row["item_id"]: row for row in of(rows, reference, suite)}
    own = [row for row in of(rows, model, suite) if row["item_id"] in other]
    return [
        (
            lang,
            ratio_difference([values(r) for r in part], [values(other[r["item_id"]]) for r in part], [sizes(r) for r in part], resamples),
        )
        for lang, part in by_language(own)
    ]


def comparison_figures(model: str, reference: str, rows: Sequence[Row], resamples: int) -> list[Row]:
    """Paired differences, `model` minus `reference`, under the name "model - reference"."""
    name, figures = f"{model} - {reference}", []
    for lang, interval in paired(rows, model, reference, "loss", lambda r: r["loss"], lambda r: r["characters"], resamples):
        figures.append(figure(name, "answer_loss_per_character", lang, interval))
    for suite in _benchmarks(rows):
        for lang, interval in paired(rows, model, reference, suite, lambda r: float(r["correct"]), lambda _: 1.0, resamples)[:1]:
            figures.append(figure(name, suite, lang, interval))
    for column in ("reward", "second_reward"):
        if any(row.get(column) is not None for row in of(rows, model, "answers")):
            for lang, interval in paired(rows, model, reference, "answers", itemgetter(column), lambda _: 1.0, resamples):
                figures.append(figure(name, column, lang, interval))
    return figures
