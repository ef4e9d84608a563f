"""Metrics of the team's own: functions that look at each answer of the chatbot and say a number (docs/adding-a-metric.md)."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import MigakiError
from tasks.stages.own_code import load_functions

SETTING = "evaluate.metrics"
PREFIX = "chat."
TAKEN = frozenset(
    [
        "correct",
        "wrong",
        "unsure",
        "wrongly_turned_away",
        "right_source",
        "told",
        "supported",
        "small_talk",
        "right_tool",
        "refused",
        "over_refused",
        "utility",
        "judge_wins",
        "judge_consistent",
        "judge_agrees",
        "characters",
        "distinct_2",
        "follow_up_correct",
        "follow_up_right_source",
        "topic_change_correct",
        "topic_change_right_source",
        "cross_language_correct",
        "cross_language_right_source",
        "first_word_p50",
        "first_word_p95",
        "whole_p50",
        "whole_p95",
    ]
)


@dataclass(frozen=True)
class Answered:
    """A question of the team's own, as it is, and what the chatbot made of it: what a metric is given.

    Attributes:
        question: in the person's words.
        answer: what was shown, titles of the documents quoted and notices included.
        accept: strings of which any right answer contains one; () where the item says none.
        sources: documents shown with the answer, the best first; one of which several passages are shown stands there several times.
        outcome: answered, unsure (the nearest passages are quoted as such), unanswered, or refused.
        lang: of the question.
    """

    question: str
    answer: str
    accept: tuple[str, ...]
    sources: tuple[str, ...]
    outcome: str
    lang: str


@dataclass(frozen=True)
class Metric:
    """A function of the user. Its figures are called `chat.NAME`, NAME being the function's."""

    address: str  # module:function
    function: Callable[[Answered], Any]

    @property
    def name(self) -> str:
        return PREFIX + self.address.partition(":")[2]

    def __call__(self, row: Answered) -> float | None:
        """The value of an answer; None where the metric has nothing to say of it.

        Raises:
            MigakiError: the function raised, or returned no finite number; names metric and question.
        """
        try:
            value = self.function(row)
        except Exception as error:  # whatever a user's code may raise
            raise MigakiError(
                f"the metric {self.address!r} of {SETTING} raised {type(error).__name__}: {error}, on the question {row.question[:80]!r}"
            ) from error
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise MigakiError(
                f"the metric {self.address!r} of {SETTING} gave {value!r} to the question {row.question[:80]!r}; accepted are finite numbers and None"
            )
        return number


def load_metrics(addresses: Sequence[str]) -> list[Metric]:
    """The metrics of these names, from their sources as they are now.

    Raises:
        MigakiError: a module or function is missing, a module cannot be imported, or a figure would be called as another one is.
    """
    metrics = [Metric(*pair) for pair in zip(addresses, load_functions(addresses, SETTING), strict=True)]
    names = [metric.name for metric in metrics]
    for metric in metrics:
        if metric.name.removeprefix(PREFIX) in TAKEN:
            raise MigakiError(
                f"{SETTING} names {metric.address!r}, and Migaki has a figure {metric.name!r} of its own: give the function another name"
            )
        if names.count(metric.name) > 1:
            raise MigakiError(f"{SETTING} names two functions whose figures would be called {metric.name!r}: give one of them another name")
    return metrics


def values_of(metric: Metric, rows: Iterable[Mapping[str, Any]], accept: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, str], float]:
    """What a metric says of the rows of the suite `answerable`, by model and item.

    Args:
        accept: of the items, by their ids.

    Raises:
        MigakiError: as the metric.
    """
    found = {}
    for row in rows:
        if row["suite"] == "answerable":
            own = accept[row["item_id"]]
            value = metric(Answered(row["prompt"], row["answer"], own, tuple(row["sources"]), row["outcome"], row["lang"]))
            if value is not None:
                found[row["model"], row["item_id"]] = value
    return found
