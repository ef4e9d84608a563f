"""The report of a run: one HTML file that needs no network. Every section is one small template over what the catalog says of the run."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from storage.kinds import Answering
from tasks.evaluation.facts import Facts, Figure, Table
from tasks.evaluation.own_metrics import PREFIX
from tasks.evaluation.report_approval import approval_section
from tasks.evaluation.report_calibration import calibration_section
from tasks.evaluation.report_chat import chat_section
from tasks.pages.charts import curves, smoothed
from tasks.pages.page import note, section, table, text, whole_page

WAYS: tuple[Answering, ...] = get_args(Answering)


def stage_table(facts: Facts) -> Table:
    """What each stage took and came to."""
    rows = []
    for stage in facts.stages:
        cost = [_given(stage.device_seconds, "{:.1f}"), _given(stage.peak_bytes and stage.peak_bytes / 2**20, "{:.0f}")]
        own = [stage.name, stage.status, f"{stage.seconds:.1f}", *cost]
        for i, line in enumerate(stage.meta.get("headlines") or [{}]):
            rows.append([*(own if i == 0 else [""] * len(own)), line.get("label"), line.get("before"), line.get("after")])
    return ["stage", "status", "seconds", "device-seconds", "peak MiB", "key figure", "before", "after"], rows


def _given(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def stage_section(facts: Facts) -> str:
    told = (
        "Device-seconds: of a GPU the seconds that it was held, of the CPU those of all its cores that worked. Peak: of the GPU's memory what the stage took, of "
        "the machine's what the process held, with what was there before."
    )
    return section("Stages", table(*stage_table(facts)), note(told))


def charts(facts: Facts) -> dict[str, str]:
    """SVGs of what was learnt, by title."""
    drawn: dict[str, str] = {}

    def draw(title: str, xlabel: str, *series: dict[str, Sequence[tuple[float, float]]]) -> None:
        drawn[title] = curves(title, xlabel, *series)

    if loss := facts.curves.get("tune.loss"):
        draw("Instruction tuning", "step", {"loss of a step": loss, "mean of 10": smoothed(loss, 10)})
    if first := facts.curves.get("reward.first_loss"):
        draw("Reward models", "step", {"first": first, "second": facts.curves["reward.second_loss"]})
    if score := facts.curves.get("align.score"):
        kl = facts.curves["align.kl"]
        draw("RLHF: score and KL", "update", {"score": score}, {"KL per answer (nats)": kl})
        if watched := facts.curves.get("align.second_score"):
            draw("RLHF: what both reward models say", "update", {"first": score, "second": watched})
        against = sorted((x, y) for (_, x), (_, y) in zip(kl, score, strict=True))
        draw("RLHF: score against KL", "KL per answer (nats)", {"score": against})
    elif moved := facts.curves.get("align.kl"):  # nothing scores answers where KTO goes without reward models
        draw("RLHF: KL", "update", {"KL per answer (nats)": moved})
    return drawn


def chart_section(facts: Facts) -> str:
    drawn = "".join(f"<div>{svg}</div>" for svg in charts(facts).values())
    return section("Curves", f'<div class="charts">{drawn}</div>') if drawn else ""


LENGTHS = ("shorter", "alike", "longer")  # the chosen answer beside the rejected one
COUNTS_LENGTH = 0.5  # rank correlation of score and length from which a reward model is called a counter of length


def reward_section(facts: Facts) -> str:
    """Whether the reward models can be believed, and whether the policy took advantage of the first."""
    meta = facts.meta("reward")
    measured = {which: meta[f"{which}_accuracy"] for which in ("first", "second") if f"{which}_accuracy" in meta}
    endings = [line for line in (facts.meta("align").get("ending"),) if line]
    if not measured:
        return section("The policy", *[note(line) for line in endings]) if endings else ""
    rows = []
    for which, own in measured.items():
        buckets = [
            f"{own['by_length'][name][0]:.2f} of {own['by_length'][name][1]}" if name in own["by_length"] else "" for name in LENGTHS
        ]
        accuracy = f"{own['value']:.3f} ({own['low']:.2f} to {own['high']:.2f})"
        rows.append([which, own["pairs"], accuracy, *buckets, own["length_correlation"]])
    columns = ["reward model", "held-out pairs", "accuracy", *[f"chosen {name}" for name in LENGTHS], "score with length (rho)"]
    ideal = [(0.5, 0.5), (1.0, 1.0)]
    svgs = [
        curves(
            f"Calibration, {which} model", "its confidence", {"share decided so": [row[:2] for row in own["calibration"]], "ideal": ideal}
        )
        for which, own in measured.items()
    ]
    lines = [
        f"The {which} reward model mostly counts length (rank correlation {own['length_correlation']:+.2f}): look at its pairs."
        for which, own in measured.items()
        if abs(own["length_correlation"]) >= COUNTS_LENGTH
    ]
    align = facts.meta("align")
    lines += endings
    alarm = f'<div class="decision keep"><b>alarm</b><p>{text(align["alarm"])}</p></div>' if align.get("alarm") else ""
    charts = f'<div class="charts">{"".join(f"<div>{svg}</div>" for svg in svgs)}</div>'
    return section("Reward models and the policy", alarm, table(columns, rows), charts, *[note(line) for line in lines])


def choice_section(facts: Facts) -> str:
    """Which model went on after align, and what it was told by."""
    choice = facts.meta("choose").get("choice")
    if not choice:
        return ""
    shown = [
        [
            one["reward"],
            one["lang"],
            one["value"],
            f"{one['low']:+.3f} to {one['high']:+.3f}" if one.get("low") is not None else "too few prompts",
            one["prompts"],
        ]
        for one in choice["differences"]
    ]
    differences = table(["reward", "language", "aligned - tuned", "interval (Holm)", "prompts"], shown) if shown else ""
    return section("Aligned or tuned", f"<p>{text(choice['because'])}</p>", differences)


def figure_table(facts: Facts) -> Table:
    """What the models are worth on the same items."""
    figures = [
        figure for figure in facts.figures if not figure.is_difference and figure.model != "index" and not figure.metric.startswith(PREFIX)
    ]
    models = list(dict.fromkeys(figure.model for figure in figures))
    cells = {(figure.metric, figure.lang, figure.model): figure for figure in figures}
    shown = []
    for metric, lang in dict.fromkeys((figure.metric, figure.lang) for figure in figures):
        shown.append([metric, lang, *[cell(cells.get((metric, lang, model))) for model in models]])
    return ["figure", "language", *models], shown


def figure_section(facts: Facts) -> str:
    return section(
        "Models on the same items",
        table(*figure_table(facts)),
        note(
            "In brackets: 95 % bootstrap intervals. Losses in nats per character; rewards in standard deviations of the tuned model's answers."
        ),
    )


def cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return f"{figure.value:.3f}" + (f" ({figure.low:.2f} to {figure.high:.2f})" if figure.low is not None else "")


def difference_section(facts: Facts) -> str:
    shown = [
        [
            figure.model,
            figure.metric,
            figure.lang,
            figure.value,
            f"{figure.low:+.3f} to {figure.high:+.3f}",
            figure.items,
            "yes" if figure.excludes_zero else "inconclusive",
        ]
        for figure in facts.figures
        if figure.is_difference and not figure.metric.startswith(PREFIX)
    ]
    return section(
        "Differences, item by item", table(["models", "figure", "language", "difference", "95 % interval", "items", "excludes zero"], shown)
    )


def size_section(facts: Facts) -> str:
    meta = facts.meta("quantize")
    shown = [
        [
            v["variant"] + (" (picked)" if v["variant"] == meta.get("precision") else ""),
            f"{v['disk_bytes'] / 1e6:.1f}",
            f"{v['memory_bytes'] / 1e6:.1f}",
            f"{v['memory_saving']:.1%}",
            f"{v['textbook_saving']:.1%}",
            v["perplexity"],
            f"{v['extra_loss']:+.2%}",
            f"{v['tokens_per_second']:.0f}",
        ]
        for v in meta.get("variants", [])
    ]
    if not shown:
        return ""
    columns = ["variant", "MB on disk", "MB of weights", "saved", "textbook", "perplexity", "against fp32", "tokens/s scored"]
    return section("Size and quality", table(columns, shown), *[note(f"Not picked: {line}") for line in meta.get("passed_over", [])])


def retrieval_section(facts: Facts) -> str:
    figures = {(figure.lang, figure.metric): figure for figure in facts.figures if figure.model == "index"}
    shown = [
        [lang, figures[lang, "hit@1"].items, *[figures[lang, metric].value for metric in ("hit@1", "hit@5", "mrr@10")]]
        for lang in dict.fromkeys(lang for lang, _ in figures)
    ]
    if not shown:
        return ""
    embedders = facts.meta("index").get("embedders")
    told = [note(f"Vectors: {embedders}.")] if embedders else []
    return section("Retrieval", table(["language", "questions", "hit@1", "hit@5", "MRR@10"], shown), *told)


def safety_section(facts: Facts) -> str:
    """What rules and classifier refuse, and what the classifier learned from."""
    meta = facts.meta("safety")
    rates = {(rate["by"], rate["lang"], rate["harmful"]): rate for rate in meta.get("refused", [])}
    shown = [
        [lang, by, *[share_of(rates.get((by, lang, harmful))) for harmful in (True, False)]]
        for lang, by in sorted({(lang, by) for by, lang, _ in rates})
    ]
    if not shown:
        return ""
    trained = [
        note(
            f"Trained on {own['harmful']} harmful and {own['harmless']} harmless requests ({lang}), {own['look_alike']} of these look-alikes."
        )
        for lang, own in meta.get("trained_on", {}).items()
    ]
    told = (
        "In brackets: 95 % intervals (Wilson). Cross-validation leaves whole topics out, and the threshold is set on its harmless requests."
    )
    return section("Safety filters", table(["language", "measured by", "harmful refused", "harmless refused"], shown), note(told), *trained)


def share_of(rate: Mapping[str, Any] | None) -> str:
    """A share with its interval and counts; "" where nothing was measured."""
    if rate is None:
        return ""
    return f"{rate['count'] / rate['items']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}), {rate['count']} of {rate['items']}"


def answering_section(facts: Facts) -> str:
    """How the release answers each language, and what each way was worth."""
    shown = [
        [lang, own["way"], own["questions"], *[own.get("utility", {}).get(way) for way in WAYS], own["because"]]
        for lang, own in facts.meta("answering").get("languages", {}).items()
    ]
    if not shown:
        return ""
    told = (
        "Utility on a part of the team's own questions as they are, chosen by a hash. The evaluation asks them too, among all others, so what it says "
        "of the release is a little too good. Where `chat.answering` names a language, the release does as that says."
    )
    columns = ["language", "is answered by", "questions", *WAYS, "because"]
    return section("How each language is answered", table(columns, shown), note(told))


def example_section(facts: Facts) -> str:
    models = [model for model in ("base", "tuned", "aligned", "release", "champion") if any(row.model == model for row in facts.answers)]
    parts = []
    for lang in sorted({row.lang for row in facts.answers}):
        for item in list(dict.fromkeys(row.item_id for row in facts.answers if row.lang == lang))[:4]:
            own = {row.model: row for row in facts.answers if row.item_id == item}
            columns = [("reference", own["base"].reference), *[(model, own[model].answer) for model in models]]
            answers = "".join(f"<p><b>{text(name)}</b>{text(answer) or '<i>(nothing)</i>'}</p>" for name, answer in columns)
            parts.append(f'<div class="pair" lang="{lang}"><h3>{text(own["base"].prompt)}</h3><div>{answers}</div></div>')
    return section("Before and after", *parts)


def data_section(facts: Facts) -> str:
    return section(
        "Data",
        table(
            ["kind", "split", "language", "kept, or why dropped", "rows"],
            [[count.kind, count.split, count.lang, count.reason or "kept", count.rows] for count in facts.row_counts],
        ),
    )


def decision_section(facts: Facts) -> str:
    return f"<div class='decision {facts.decision}'><b>{text(facts.decision)}</b><p>{text(facts.reason)}</p></div>"


def gate_table(facts: Facts) -> Table | None:
    """What the decision rests on, and how much it could have seen; None where nothing was compared."""
    gate = facts.gate
    if gate is None or gate.difference is None:
        return None
    interval = f"{gate.low:+.3f} to {gate.high:+.3f}"
    shown = [[gate.metric, gate.difference, interval, gate.items, gate.smallest, gate.needed]]
    return ["decided by", "difference", "95 % interval", "items", "smallest difference they show", "items that the margin needs"], shown


def gate_section(facts: Facts) -> str:
    shown = gate_table(facts)
    if facts.gate is None or shown is None:
        return ""
    told = (
        "Utility of a question: right 1, wrong minus chat.cost_wrong, not answered 0, unsure half. Each is asked twice, as it is and with the documents left "
        "out that answer it (0.3 of the weight); languages count alike; documents are resampled together with their twins. A difference of the smallest size "
        "is shown 80 % of the time."
    )
    return section("The gate", table(*shown), *([note(told)] if facts.gate.smallest is not None else []))


def caveats(facts: Facts) -> str:
    base = facts.meta("evaluate").get("models", {}).get("base", "")
    lines = ["Every figure comes from the catalog of this run; intervals are percentile bootstraps over items."]
    if "smollm2" in base:
        lines.append(
            "The baseline is the bundled SmolLM2-135M-Instruct, whose weights are 4-bit (Q4_1) numbers written out as fp32. A model of this size solves about 0.4 % of GSM8K by exact match, "
            "hardly writes Japanese, and is here to show the process: likelihood-based figures tell such models apart where exact match cannot."
        )
    return section("What to know when reading this", *[note(line) for line in lines])


SECTIONS = (
    decision_section,
    gate_section,
    approval_section,
    chat_section,
    calibration_section,
    answering_section,
    stage_section,
    chart_section,
    reward_section,
    choice_section,
    difference_section,
    figure_section,
    example_section,
    size_section,
    retrieval_section,
    safety_section,
    data_section,
    caveats,
)


def build_report(facts: Facts) -> str:
    """The page of a `retrain` run."""
    started = f"{facts.started:%Y-%m-%d %H:%M} UTC"
    return whole_page(
        f"Migaki: {started}",
        f"Migaki: retraining of {started}",
        note(f"run {facts.run_id}, profile {facts.profile}"),
        *(part(facts) for part in SECTIONS),
    )
