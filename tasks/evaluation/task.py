"""The stage evaluate: every model asked the same, scored, and every answer kept."""

import gc
import json
from functools import partial
from typing import Any

from storage.artifacts import ArtifactRef
from storage.kinds import Evaluation, Release
from tasks.errors import MigakiError
from tasks.evaluation import measure
from tasks.evaluation.benchmarks import COMPARED as BENCHMARKED
from tasks.evaluation.benchmarks import benchmark_headlines, benchmark_rows, drawn_benchmarks
from tasks.evaluation.items import Items, held_out_items
from tasks.evaluation.settings import EvaluateSettings
from tasks.evaluation.summary import comparison_figures, figure, model_figures
from tasks.evaluation.task_chat import ask_chatbots
from tasks.models.batching import Example
from tasks.models.families import stated_context_length
from tasks.models.loader import load_tokenizer
from tasks.models.opening import parts_of
from tasks.prompts.template import encode_prompt
from tasks.rag.figures import retrieval_figures
from tasks.rag.retrieval import Retriever
from tasks.rag.task_opening import open_retriever
from tasks.rlhf.reward import FACTS, score_with_both
from tasks.stages.opening import open_checked
from tasks.stages.work import Work, require
from tasks.studies.benchmarks.prompting import Drawn

COMPARED = (("tuned", "base"), ("aligned", "tuned"), ("release", "base"), ("release", "champion"))


def evaluate(settings: EvaluateSettings, inputs: dict[str, ArtifactRef], work: Work) -> Evaluation:
    """Ask every model the same, score what they say, and keep every answer."""
    folder = work.open(require(inputs, "dataset", "prepare"))
    room = min(settings.max_tokens, stated_context_length(work.model.path) or settings.max_tokens) - settings.answer_tokens
    tokenizer = load_tokenizer(work.model.path)
    items = held_out_items(
        folder,
        settings.loss_items,
        settings.prompts,
        settings.choice_items,
        lambda messages: len(encode_prompt(tokenizer, messages)) <= room,
    )
    if not items.loss:
        raise MigakiError(
            "there is nothing to evaluate on: the dataset has 0 questions and 0 held-out instructions. Give questions with --questions"
        )
    retriever = open_retriever(inputs, work)
    models = _models(inputs, work)
    drawn = drawn_benchmarks(settings)
    rows: list[dict[str, Any]] = []
    sampled: list[tuple[dict[str, Any], Example]] = []
    for name, ref in models.items():
        measured = partial(_measure, name, ref, items, drawn if name in BENCHMARKED else [], settings, inputs, work)
        found, answers = work.step("measure_model", measured, name)
        rows += found
        sampled += answers
    work.step("score_answers", partial(_reward, sampled, inputs, work))
    figures = [row for name in models for row in model_figures(name, rows, settings.resamples)]
    for name, reference in COMPARED:
        if name in models and reference in models:
            figures += comparison_figures(name, reference, rows, settings.resamples)
    figures += _retrieval(retriever, items)
    chatbots = ask_chatbots(settings, inputs, retriever, work)
    figures += chatbots.figures
    for row in figures:
        model = models.get(row["model"])
        row["model_id"] = model.id if model else None
        if " - " not in row["model"]:
            work.metric(f"evaluate.{row['model']}.{row['metric']}" + ("" if row["lang"] == "all" else f".{row['lang']}"), row["value"])
    work.table("evaluations", figures)
    work.table("evaluation_answers", rows)
    work.table("evaluation_answers", chatbots.rows)
    loss = {row["model"]: row["value"] for row in figures if row["metric"] == "answer_loss_per_character" and row["lang"] == "all"}
    work.headline("answer loss per character, base to release", loss["base"], loss.get("release", loss.get("tuned")))
    _say_of_chatbot(figures, work)
    for headline in benchmark_headlines(figures):
        work.headline(*headline)
    return Evaluation(
        models={name: ref.id if ref else work.model.reference for name, ref in models.items()},
        releases={role: inputs[role].id for role in ("release", "champion") if role in inputs},
        chats=chatbots.chats,
        judge=chatbots.judge,
    )


def _models(inputs: dict[str, ArtifactRef], work: Work) -> dict[str, ArtifactRef | None]:
    """The models whose losses are compared, by role, None for the base: those of releases that a server does not answer for, the champion's where it is
    another than the release's.

    Raises:
        MigakiError, StorageError: a release is missing, or its model is gone.
    """
    found: dict[str, ArtifactRef | None] = {"base": None} | {role: inputs[role] for role in ("tuned", "aligned") if role in inputs}
    named = {"release": work.record(require(inputs, "release", "quantize"), Release).model}
    if "champion" in inputs and (champion := work.record(inputs["champion"], Release).model) != named["release"]:
        named["champion"] = champion
    return found | {role: work.artifact(model) for role, model in named.items() if model}


def _say_of_chatbot(figures: list[dict[str, Any]], work: Work) -> None:
    for lang in sorted({row["lang"] for row in figures if row["metric"] == "chat.correct"} - {"all"}):
        correct = {row["model"]: row["value"] for row in figures if row["metric"] == "chat.correct" and row["lang"] == lang}
        work.headline(f"chatbot: questions answered correctly ({lang}), base to release", correct["base"], correct["release"])


def _measure(
    name: str,
    ref: ArtifactRef | None,
    items: Items,
    drawn: list[Drawn],
    settings: EvaluateSettings,
    inputs: dict[str, ArtifactRef],
    work: Work,
) -> tuple[list[dict[str, Any]], list[tuple[dict[str, Any], Example]]]:
    """All rows of one model, and its sampled answers as tokens; the model is in memory only meanwhile."""
    chat = (
        parts_of(work.model.path, work.trained(inputs.get("tuned")), work.adapter).chat if ref is None else None
    )  # models are compared in the same chat
    model, tokenizer = open_checked(work, ref, chat=chat, today=work.today(inputs), beside=True)
    total = len(items.loss) + len(items.prompts) + sum(len(item.choices) for item in items.choices)
    with work.progress(f"evaluate: {name}", total) as bar:
        rows = measure.answer_losses(name, model, tokenizer, items.loss, settings.max_tokens, bar)
        _count_passed_over(name, len(items.loss) - len(rows), len(items.loss), settings, work)
        answers, examples = measure.sampled_answers(name, model, tokenizer, items.prompts, settings, bar)
        rows += answers
        rows += measure.choices(name, model, tokenizer, items.choices, bar)
        rows += benchmark_rows(name, model, tokenizer, drawn)
    del model
    gc.collect()
    return rows, list(zip(answers, examples, strict=True))


def _count_passed_over(name: str, passed_over: int, items: int, settings: EvaluateSettings, work: Work) -> None:
    """Raises:
    MigakiError: no item is left.
    """
    work.metric(f"evaluate.{name}.passed_over", passed_over)
    why = f"their question leaves no room for the answer (evaluate.max_tokens = {settings.max_tokens})"
    if items and passed_over == items:
        raise MigakiError(f"evaluate: all {items} reference answers are passed over: {why}")
    if passed_over:
        work.log(f"evaluate: {passed_over} of {items} reference answers are passed over for {name}: {why}")


def _reward(sampled: list[tuple[dict[str, Any], Example]], inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Raw scores (no penalty, no KL) of both reward models for every sampled answer, one trunk pass for both."""
    if "reward" not in inputs:
        return

    folder = work.open(inputs["reward"])
    trunk = json.loads((folder / FACTS).read_text(encoding="utf-8"))["trunk"]
    model, _ = open_checked(work, inputs["tuned"], trunk)
    with work.progress("evaluate: reward", len(sampled)) as bar:
        scores = score_with_both(folder, model, [example for _, example in sampled], bar.advance)
    for (row, _), (first, second) in zip(sampled, scores, strict=True):
        row["reward"], row["second_reward"] = first, second


def _retrieval(retriever: Retriever, items: Items) -> list[dict[str, Any]]:

    ranks = measure.retrieval_ranks(retriever, items)
    found = []
    for lang in ("all", *sorted({item.lang for item, _ in ranks})) if ranks else ():
        own = [rank for item, rank in ranks if lang in ("all", item.lang)]
        found += [figure("index", metric, lang, value, len(own)) for metric, value in retrieval_figures(own).items()]
    return found
