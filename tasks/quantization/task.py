"""The stage quantize: the merged model in several precisions, each measured, one of them to serve."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Adapter, Model, Variant
from tasks.data.records import Instruction, load_instructions, load_questions
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.beside import carried
from tasks.models.loader import load_model
from tasks.models.opening import parts_of
from tasks.models.quantized import ORDER, make_variant, save_model
from tasks.quantization.measure import choose, fixed_tokens, measure
from tasks.quantization.settings import QuantizeSettings
from tasks.stages.opening import check_opened, open_checked
from tasks.stages.work import Work, require
from tasks.training.examples import Limit, encode_instructions, within_context


def quantize(settings: QuantizeSettings, inputs: dict[str, ArtifactRef], work: Work) -> Model:
    """Merge the chain of adapters, write and measure the variants, and put the picked one into `model/`. What cannot be merged is carried beside
    floating-point weights."""
    dataset = work.open(require(inputs, "dataset", "prepare"))
    variants = work.path / "variants"
    aligned = require(inputs, "aligned", "align")

    def merge() -> tuple[PreTrainedTokenizerBase, list[Example]]:
        model, tokenizer = open_checked(work, aligned, today=work.today(inputs), beside=True)
        beside = parts_of(work.model.path, work.trained(aligned), work.adapter).beside
        examples = held_out_tokens(dataset, tokenizer, settings.eval_tokens, within_context(model, settings.eval_tokens))
        save_model(model, tokenizer, variants / "fp32", beside)
        return tokenizer, examples  # not the model: the variants are opened one at a time

    tokenizer, examples = work.step("merge", merge)
    measurements, problems = measure_all(variants, tokenizer, examples, settings, work)
    picked, passed_over = choose(settings.pick, measurements, problems, settings.max_loss)
    for line in passed_over:
        work.log(f"quantize: not picked, {line}")
    place(variants, picked, work.path / "model", settings.keep_all)
    report(measurements, picked, work)
    return Model(
        precision=picked,
        adapters=[],
        asked_for=settings.pick,
        passed_over=passed_over,
        variants=list(measurements.values()),
        choice=work.record(aligned, Adapter).choice,
    )


def held_out_tokens(dataset: Path, tokenizer: PreTrainedTokenizerBase, total: int, row_limit: int) -> list[Example]:
    """Held-out instructions of at most `row_limit` tokens, cut to `total` tokens together; held-out questions where the dataset has no instructions.

    Raises:
        MigakiError: it has neither.
    """
    rows = load_instructions(dataset, "eval") or [
        Instruction(q.id, [{"role": "user", "content": q.question}], q.answer, q.lang, q.source) for q in load_questions(dataset)
    ]
    if not rows:
        raise MigakiError(
            "the dataset has neither held-out instructions nor questions, so what quantization costs cannot be measured: give some with --questions"
        )
    encoded = encode_instructions(tokenizer, sorted(rows, key=lambda row: row.id), Limit(row_limit, setting="quantize.eval_tokens"))
    return fixed_tokens(encoded.examples, total, tokenizer)


def measure_all(
    variants: Path, tokenizer: PreTrainedTokenizerBase, examples: list[Example], settings: QuantizeSettings, work: Work
) -> tuple[dict[str, Variant], dict[str, str]]:
    """(measurement by variant, reason by variant that could not be made), from the largest to the smallest."""
    measurements: dict[str, Variant] = {}
    problems: dict[str, str] = {}

    def measure_variant(variant: str, check: Callable[[PreTrainedModel], None] | None) -> None:
        with work.progress(f"quantize: {variant}", len(examples)) as bar:
            measurements[variant] = measure(
                variant, variants / variant, examples, measurements.get("fp32"), work.device, bar.advance, check
            )

    def make_and_measure(variant: str) -> None:
        check = None if variant == "fp16" else partial(_check, work, tokenizer, variant, variants / "fp32")  # which is measured in float32
        try:
            made = make_variant(variant, variants / "fp32", settings.int8_threshold, work.device)
            save_model(made, tokenizer, variants / variant, carried(variants / "fp32"))
            del made
            measure_variant(variant, check)
        except MigakiError as problem:
            problems[variant] = str(problem)
            shutil.rmtree(variants / variant, ignore_errors=True)  # nobody is to serve what does not run

    work.step("measure_variant", partial(measure_variant, "fp32", None), "fp32")
    for variant in reversed(ORDER[:-1]):
        work.step("measure_variant", partial(make_and_measure, variant), variant)
    return measurements, problems


def _check(work: Work, tokenizer: PreTrainedTokenizerBase, variant: str, original: Path, model: PreTrainedModel) -> None:
    check_opened(work, model, tokenizer, variant, partial(load_model, original))


def place(variants: Path, picked: str, model: Path, keep_all: bool) -> None:
    """Move the picked variant to `model`; the others go unless they are wanted."""
    (variants / picked).rename(model)
    if not keep_all:
        shutil.rmtree(variants)


def report(measurements: dict[str, Variant], picked: str, work: Work) -> None:
    """The figures of all variants as metrics, and the key figures."""
    for variant, measurement in measurements.items():
        for figure in ("perplexity", "extra_loss", "disk_bytes", "memory_bytes", "tokens_per_second"):
            work.metric(f"quantize.{variant}_{figure}", getattr(measurement, figure))
        for lang, loss in measurement.loss_per_character.items():
            work.metric(f"quantize.{variant}_loss_per_character.{lang}", loss)
    before, after = measurements["fp32"], measurements[picked]
    work.headline(f"size, MB ({picked})", before.disk_bytes / 1e6, after.disk_bytes / 1e6)
    work.headline(f"perplexity ({picked})", before.perplexity, after.perplexity)
