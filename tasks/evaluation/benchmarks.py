"""Standard benchmarks in evaluate: the same questions to base, release and champion, so that what a model forgets is seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.evaluation.settings import EvaluateSettings
from tasks.evaluation.summary import BENCHMARK
from tasks.studies.benchmarks.benchmark import Contestant, Way, answered
from tasks.studies.benchmarks.prompting import Drawn, draw
from tasks.studies.suites.reading import read_suite

COMPARED = ("base", "release", "champion")  # models that are asked


def drawn_benchmarks(settings: EvaluateSettings) -> list[Drawn]:
    """The questions, without worked examples, the same at every evaluation with these settings.

    Raises:
        MigakiError: a benchmark or its file is missing, or a row of it is broken.
    """
    names = dict.fromkeys(settings.benchmarks)
    return [draw(read_suite(name, Path(settings.benchmarks_dir)), 0, settings.benchmark_items, settings.seed) for name in names]


def benchmark_rows(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
    """A row of `evaluation_answers` for each question.

    Args:
        name: the model's role.

    Raises:
        MigakiError: a choice is longer than the model's context.
    """
    asked = [(one, question) for one in drawn for question in one.questions]
    if not asked:
        return []
    contestant = Contestant(model, tokenizer, Way(empty_prompt=False))
    return [
        {
            "model": name,
            "suite": BENCHMARK + one.suite.name,
            "item_id": question.id,
            "lang": question.lang,
            "prompt": answer.prompt,
            "reference": answer.reference,
            "answer": answer.text,
            "correct": bool(answer.values["correct"]),
        }
        for (one, question), answer in zip(asked, answered(contestant, asked), strict=True)
    ]


def benchmark_headlines(figures: Sequence[dict[str, Any]]) -> list[tuple[str, float, float | None]]:
    """(label, share of right answers of the base, and of the release) of every benchmark, in the order of the figures."""
    right = {(row["metric"], row["model"]): row["value"] for row in figures if row["metric"].startswith(BENCHMARK)}
    return [
        (f"{metric.removeprefix(BENCHMARK)}: share of right answers, base to release", value, right.get((metric, "release")))
        for (metric, model), value in right.items()
        if model == "base"
    ]
