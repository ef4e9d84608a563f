"""Rows of the chatbot's answers to figures with intervals, and to differences item by item.

Items about one document and its twins are right or wrong together, so they are resampled together: the bootstrap is over `document` of the rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.asking.utility import compare, utility
from tasks.evaluation.summary import Row, by_language, figure, of
from tasks.statistics import Interval, bootstrap
from tasks.text.measures import distinct_n


def _one(_: Row) -> float:
    return 1.0


@dataclass(frozen=True)
class Measure:
    """A share: what the rows of a suite have over how much they could. A row of which `value` says None is passed over."""

    suite: str
    value: Callable[[Row], float | None]
    size: Callable[[Row], float] = _one


def _is(column: str) -> Callable[[Row], float | None]:
    return lambda row: None if row[column] is None else float(row[column])


def _judged(column: str) -> Callable[[Row], float | None]:
    """Of the items that have something to accept alone, or shares of one set would not add up."""
    return lambda row: None if row["correct"] is None else float(row[column])


MEASURES = {
    "chat.correct": Measure("answerable", _judged("correct")),
    "chat.wrong": Measure("answerable", _judged("wrong")),
    "chat.unsure": Measure("answerable", _judged("unsure")),
    "chat.wrongly_turned_away": Measure("answerable", _is("turned_away")),
    "chat.right_source": Measure("answerable", _is("right_source")),
    "chat.told": Measure("left_out", lambda row: float(row["outcome"] in ("unsure", "unanswered"))),
    "chat.supported": Measure("answerable", _is("supported"), lambda row: row["sentences"]),
    "chat.follow_up_correct": Measure("follow_up", _judged("correct")),
    "chat.follow_up_right_source": Measure("follow_up", _is("right_source")),
    "chat.topic_change_correct": Measure("topic_change", _judged("correct")),
    "chat.topic_change_right_source": Measure("topic_change", _is("right_source")),
    "chat.cross_language_correct": Measure("cross_language", _judged("correct")),
    "chat.cross_language_right_source": Measure("cross_language", _is("right_source")),
    "chat.small_talk": Measure("small_talk", lambda row: float(row["turned_away"] and row["outcome"] == "answered")),
    "chat.right_tool": Measure("tools", _is("right_tool")),
    "chat.refused": Measure("harmful", _is("refused")),
    "chat.over_refused": Measure("look_alike", _is("refused")),
}


def own_measure(values: Mapping[tuple[str, str], float]) -> Measure:
    """The mean of what a metric of the team's own says, by model and item, of the questions as they are."""
    return Measure("answerable", lambda row: values.get((row["model"], row["item_id"])))


QUANTILES = {"p50": 0.5, "p95": 0.95}
TIMES = {"first_word": "first_word", "whole": "seconds"}


def chat_figures(model: str, rows: Sequence[Row], resamples: int, own_measures: Mapping[str, Measure] = {}) -> list[Row]:
    """All figures of what answered in one role; `own_measures` are the team's."""
    figures = []
    for metric, measure in {**MEASURES, **own_measures}.items():
        for lang, own in by_language(of(rows, model, measure.suite)):
            told = [row for row in own if measure.value(row) is not None]
            if sum(map(measure.size, told)):
                figures.append(figure(model, metric, lang, _share(told, measure, resamples)))
    timed = [row for row in of(rows, model, "answerable") if row["seconds"] is not None]
    for name, column in TIMES.items():
        for lang, own in by_language(timed):
            seconds = np.array([row[column] for row in own])
            figures += [figure(model, f"chat.{name}_{p}", lang, _quantile(seconds, None, q, resamples)) for p, q in QUANTILES.items()]
    for lang, own in by_language([row for row in of(rows, model, "answerable") if row["outcome"] == "answered"]):
        answers = [row["answer"] for row in own]
        figures.append(figure(model, "chat.characters", lang, float(np.median([row["characters"] for row in own])), len(own)))
        figures.append(figure(model, "chat.distinct_2", lang, distinct_n(answers, [row["lang"] for row in own]), len(own)))
    return figures


def utility_figures(rows: Sequence[Row], models: Sequence[str], pairs: Sequence[tuple[str, str]], cost_wrong: float) -> list[Row]:
    """`chat.utility` of each model and of each pair, by language too; the differences are those that the gate decides on.

    Args:
        pairs: (model, reference); those that were not asked are passed over.
        cost_wrong: what a wrong answer costs, the same for all.
    """
    figures = []
    for lang, own in by_language(rows):
        worth = {model: utility(own, model, cost_wrong) for model in models}
        worth |= {f"{model} - {reference}": compare(own, model, reference, cost_wrong) for model, reference in pairs}
        figures += [
            figure(name, "chat.utility", lang, Interval(found.value, found.low, found.high, found.questions))
            for name, found in worth.items()
            if found is not None
        ]
    return figures


def chat_differences(
    model: str, reference: str, rows: Sequence[Row], resamples: int, own_measures: Mapping[str, Measure] = {}
) -> list[Row]:
    """Paired differences, `model` minus `reference`, under the name "model - reference", over the items that both were asked."""
    name, figures = f"{model} - {reference}", []
    for metric, measure in {**MEASURES, **own_measures}.items():
        both = paired_rows(rows, model, reference, measure.suite)
        both = [pair for pair in both if measure.value(pair[0]) is not None and measure.value(pair[1]) is not None]
        for lang, own in _by_language(both):
            if all(sum(map(measure.size, side)) for side in zip(*own, strict=True)):
                figures.append(figure(name, metric, lang, _difference(own, measure, resamples)))
    timed = [pair for pair in paired_rows(rows, model, reference, "answerable") if all(row["seconds"] is not None for row in pair)]
    for name_of_time, column in TIMES.items():
        for lang, own in _by_language(timed):
            one, other = (np.array([row[column] for row in side]) for side in zip(*own, strict=True))
            for p, q in QUANTILES.items():
                figures.append(figure(name, f"chat.{name_of_time}_{p}", lang, _quantile(one, other, q, resamples)))
    return figures


def paired_rows(rows: Sequence[Row], model: str, reference: str, suite: str) -> list[tuple[Row, Row]]:
    """(row of the model, row of the reference) for each item that both were asked."""
    other = {row["item_id"]: row for row in of(rows, reference, suite)}
    return [(row, other[row["item_id"]]) for row in of(rows, model, suite) if row["item_id"] in other]


def _by_language(pairs: Sequence[tuple[Row, Row]]) -> list[tuple[str, list[tuple[Row, Row]]]]:
    langs = sorted({row["lang"] for row, _ in pairs})
    return [("all", list(pairs)), *[(lang, [pair for pair in pairs if pair[0]["lang"] == lang]) for lang in langs]] if pairs else []


def _sums(rows: Sequence[Row], measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """(groups,) sum of values and of sizes in each group of rows, groups by name."""
    place = {name: i for i, name in enumerate(sorted({row["document"] for row in rows}))}
    values, sizes = np.zeros(len(place)), np.zeros(len(place))
    for row in rows:
        values[place[row["document"]]] += measure.value(row) or 0.0
        sizes[place[row["document"]]] += measure.size(row)
    return values, sizes


def _ratio(rows: Sequence[Row], measure: Measure) -> Callable[[np.ndarray], np.ndarray]:
    """Of resampled groups, what they have over how much they could; 0 where a resample could have nothing."""
    values, sizes = _sums(rows, measure)
    return lambda drawn: values[drawn].sum(-1) / np.maximum(sizes[drawn].sum(-1), 1)


def _share(rows: Sequence[Row], measure: Measure, resamples: int) -> Interval:
    return replace(bootstrap(_ratio(rows, measure), _groups(rows), resamples), items=len(rows))


def _difference(pairs: Sequence[tuple[Row, Row]], measure: Measure, resamples: int) -> Interval:
    rows, others = zip(*pairs, strict=True)
    own, other = _ratio(rows, measure), _ratio(others, measure)
    return replace(bootstrap(lambda drawn: own(drawn) - other(drawn), _groups(rows), resamples), items=len(pairs))


def _groups(rows: Sequence[Row]) -> int:
    return len({row["document"] for row in rows})


def _quantile(seconds: np.ndarray, other: np.ndarray | None, share: float, resamples: int) -> Interval:
    """A quantile of seconds, or its difference to that of others for the same items."""

    def statistic(drawn: np.ndarray) -> np.ndarray:
        own = np.quantile(seconds[drawn], share, axis=-1)
        return own if other is None else own - np.quantile(other[drawn], share, axis=-1)

    return bootstrap(statistic, len(seconds), resamples)
