"""Figures and intervals, against values worked out by hand."""

import json
import re
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from tasks.evaluation.benchmarks import benchmark_headlines, benchmark_rows, drawn_benchmarks
from tasks.evaluation.facts import Facts, Gate, Stage
from tasks.evaluation.fingerprint import asked_and_measured
from tasks.evaluation.report import build_report, table
from tasks.evaluation.settings import EvaluateSettings
from tasks.evaluation.summary import comparison_figures, model_figures
from tasks.rag.figures import retrieval_figures
from tasks.statistics import bootstrap, mean_interval, ratio_difference, ratio_interval
from tests.helpers.models import tiny_llama, tiny_tokenizer


def test_bootstrap_intervals_hold_what_they_promise():
    generator = np.random.default_rng(1)
    hits = sum(
        low <= 0 <= high for low, high in ((i.low, i.high) for i in (mean_interval(generator.normal(size=40), 400) for _ in range(200)))
    )
    assert 0.88 <= hits / 200 <= 0.99
    exact = ratio_interval([2.0, 4.0], [1.0, 1.0], 100)
    assert exact.value == 3.0 and exact.low == 2.0 and exact.high == 4.0


def test_paired_differences_ignore_what_items_have_in_common():
    generator = np.random.default_rng(2)
    hard, n = generator.exponential(10, 60), [10.0] * 60
    paired = ratio_difference(hard - 0.5, hard, n, 500)
    assert paired.high < 0 and paired.value == pytest.approx(-0.05)
    alone = ratio_interval(hard - 0.5, n, 500)
    assert alone.high - alone.low > 10 * (paired.high - paired.low)


def test_bootstrap_is_repeatable():
    statistic = lambda rows: np.arange(10.0)[rows].mean(-1)
    assert bootstrap(statistic, 10, 100) == bootstrap(statistic, 10, 100)


def test_retrieval_figures_by_hand():
    assert retrieval_figures([1, 2, 0, 6]) == {"hit@1": 0.25, "hit@5": 0.5, "mrr@10": pytest.approx((1 + 1 / 2 + 1 / 6) / 4)}


def test_summary_of_rows():
    rows = [
        {"model": m, "suite": "loss", "item_id": str(i), "lang": "ja" if i % 2 else "en", "loss": 10.0 + i - shift, "characters": 10}
        for m, shift in (("base", 0), ("tuned", 2))
        for i in range(6)
    ]
    found = {
        (r["model"], r["lang"]): r["value"] for r in [*model_figures("base", rows, 100), *comparison_figures("tuned", "base", rows, 100)]
    }
    assert found[("base", "all")] == pytest.approx(1.25) and found[("tuned - base", "ja")] == pytest.approx(-0.2)


def test_benchmarks_are_figures_with_paired_differences():
    rows = [
        {"model": model, "suite": f"benchmark.{suite}", "item_id": str(i), "lang": lang, "correct": i < right}
        for model, right in (("base", 2), ("release", 4))
        for suite, lang in (("piqa", "en"), ("jcommonsenseqa", "ja"))
        for i in range(4)
    ]
    found = [*model_figures("release", rows, 100), *comparison_figures("release", "base", rows, 100)]
    told = {(r["model"], r["metric"], r["lang"]): (r["value"], r["items"]) for r in found}
    assert told == {
        ("release", "benchmark.piqa", "all"): (1.0, 4),
        ("release", "benchmark.jcommonsenseqa", "all"): (1.0, 4),
        ("release - base", "benchmark.piqa", "all"): (0.5, 4),
        ("release - base", "benchmark.jcommonsenseqa", "all"): (0.5, 4),
    }
    label = "share of right answers, base to release"
    every = [*model_figures("base", rows, 100), *found]
    assert benchmark_headlines(every) == [(f"piqa: {label}", 0.5, 1.0), (f"jcommonsenseqa: {label}", 0.5, 1.0)]
    assert benchmark_headlines([row for row in every if row["model"] == "base"])[0] == (f"piqa: {label}", 0.5, None)


def test_a_model_answers_the_benchmarks_that_are_named(tmp_path):
    lines = [json.dumps({"goal": f"boil water {i}", "sol1": "heat", "sol2": "cool", "label": i % 2}) for i in range(5)]
    (tmp_path / "piqa_valid.jsonl").write_text("\n".join(lines))
    settings = EvaluateSettings(benchmarks=["piqa"], benchmarks_dir=str(tmp_path), benchmark_items=4)
    rows = benchmark_rows("release", tiny_llama(), tiny_tokenizer(), drawn_benchmarks(settings))
    assert len(rows) == 4 and {(row["model"], row["suite"], row["lang"]) for row in rows} == {("release", "benchmark.piqa", "en")}
    assert all(row["correct"] == (row["answer"] == row["reference"]) for row in rows)
    assert rows == benchmark_rows("release", tiny_llama(), tiny_tokenizer(), drawn_benchmarks(settings))
    asked = asked_and_measured(settings)
    assert asked["benchmarks"][0][0].startswith("piqa_valid.jsonl ") and "benchmarks" not in asked_and_measured(EvaluateSettings())


def test_report_escapes_what_models_say():
    assert "&lt;script&gt;" in table(["a"], [["<script>"]])
    page = build_report(Facts("r", datetime(2026, 1, 1), "quick", "keep", "unchanged: the release is the champion already"))
    assert page.startswith("<!doctype html>") and "unchanged" in page


def test_report_says_whether_the_reward_models_can_be_believed_and_shows_the_alarm():
    accuracy = {"value": 0.8, "low": 0.6, "high": 0.9, "pairs": 20, "length_correlation": 0.9}
    accuracy |= {"by_length": {"longer": [1.0, 12], "shorter": [0.5, 8]}, "calibration": [[0.6, 0.5, 8], [0.9, 1.0, 12]]}
    metas = {"reward": {"first_accuracy": accuracy}, "align": {"alarm": "reward hacking: <b>", "ending": "all updates done"}}
    stages = [Stage(name, "done", 1.0, meta) for name, meta in metas.items()]
    page = build_report(Facts("r", datetime(2026, 1, 1), "quick", "keep", "unchanged", stages))
    assert "Calibration, first model" in page and "1.00 of 12" in page and "counts length" in page
    assert "reward hacking: &lt;b&gt;" in page


def test_report_shows_how_a_policy_without_reward_models_went():
    ending = "stopped at update 5: KL 9.10 over align.kl_limit = 8.0"
    stages, curves = [Stage("align", "done", 1.0, {"ending": ending})], {"align.kl": [(1, 0.0), (2, 4.5)], "align.score": []}
    page = build_report(Facts("r", datetime(2026, 1, 1), "quick", "keep", "unchanged", stages, curves))
    assert ending in page and "RLHF: KL" in page and "Reward models" not in page


def test_report_says_by_what_the_gate_decided_and_how_much_it_could_see():
    gate = Gate("utility", 0.125, -0.01, 0.26, 138, 0.19, 779)
    page = build_report(Facts("r", datetime(2026, 1, 1), "quick", "inconclusive", "the interval holds zero", gate=gate))
    row = "".join(f"<td[^>]*>{re.escape(cell)}</td>" for cell in ("utility", "0.125", "-0.010 to +0.260", "138", "0.190", "779"))
    assert re.search(row, page) and "minus chat.cost_wrong" in page
    other = replace(gate, metric="answer_loss_per_character", smallest=None, needed=None)
    assert "minus chat.cost_wrong" not in build_report(Facts("r", datetime(2026, 1, 1), "quick", "keep", "worse", gate=other))
    assert "The gate" not in build_report(Facts("r", datetime(2026, 1, 1), "quick", "keep", "unchanged"))
