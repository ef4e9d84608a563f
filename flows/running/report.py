"""The report of a run: one file that opens without a network."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.files import replacing
from storage.home import Home
from storage.queries.datasets import row_counts
from storage.queries.evaluations import figures_of, sampled_answers, turns_of
from storage.queries.metrics import curve
from storage.queries.promotions import promotion_of
from storage.queries.runs import StageRun, run, stages
from tasks.evaluation.facts import CURVES, Answer, ChatTurn, Facts, Figure, Gate, RowCount, Stage
from tasks.stages.spent import DEVICE_SECONDS, PEAK_BYTES


def write_report(home: Home, run_id: str) -> Path:
    """Write `reports/<run>.html` and `reports/latest.html` from the catalog alone."""
    from tasks.evaluation.report import build_report  # not above: matplotlib would slow down every command that imports the flow

    home.reports.mkdir(exist_ok=True)
    page = build_report(facts_of(home, run_id))
    for name in (run_id, "latest"):
        with replacing(home.reports / f"{name}.html") as draft:
            draft.write_text(page, encoding="utf-8")
    return home.reports / f"{run_id}.html"


def read_report(home: Home, run_id: str) -> str | None:
    """The page that `write_report` wrote of a run; None where there is none."""
    page = home.reports / f"{run_id}.html"
    return page.read_text(encoding="utf-8") if page.is_file() else None


def keep_study_page(home: Home, ref: ArtifactRef, study: str) -> Path:
    """Copy a study's page out of its artifact to `reports/STUDY.html`, where the newest one of that study lies."""
    home.reports.mkdir(exist_ok=True)
    page = home.reports / f"{study}.html"
    with replacing(page) as draft:
        draft.write_bytes((ArtifactStore(home).path(ref) / "report.html").read_bytes())
    return page


def _cost(home: Home, stage: StageRun) -> Iterator[float | None]:
    """What a stage cost this run: device-seconds, and bytes of memory at most; None of what another run paid for."""
    for name in (DEVICE_SECONDS, PEAK_BYTES):
        told = curve(home, stage.made_by, f"{stage.stage}.{name}") if stage.made_by and stage.status != "reused" else []
        yield told[-1][1] if told else None


def facts_of(home: Home, run_id: str) -> Facts:
    """What the report shows, from the catalog."""
    this, ran, promotion = run(home, run_id), stages(home, run_id), promotion_of(home, run_id)
    made = {stage.stage: stage.artifact_id for stage in ran if stage.artifact_id}
    makers = {stage.stage: stage.made_by for stage in ran if stage.made_by}
    dataset, evaluation = made.get("prepare", ""), made.get("evaluate", "")
    shown = [column.name for column in fields(ChatTurn)]
    return Facts(
        run_id,
        this.started,
        this.profile,
        promotion.decision if promotion else "keep",
        promotion.reason if promotion else "unchanged: the release is the champion already",
        stages=[Stage(stage.stage, stage.status, stage.seconds or 0.0, stage.meta, *_cost(home, stage)) for stage in ran],
        curves={name: curve(home, makers.get(name.partition(".")[0], ""), name) for name in CURVES},
        figures=[Figure(row.model, row.metric, row.lang, row.value, row.low, row.high, row.items) for row in figures_of(home, evaluation)],
        answers=[
            Answer(row.model, row.item_id, row.lang, row.prompt, row.reference, row.answer) for row in sampled_answers(home, evaluation)
        ],
        row_counts=[RowCount(row.kind, row.split, row.lang, row.reason, row.rows) for row in row_counts(home, dataset)],
        turns=[ChatTurn(**{name: getattr(row, name) for name in shown}) for row in turns_of(home, evaluation)],
        gate=Gate(
            promotion.metric,
            promotion.difference,
            promotion.low,
            promotion.high,
            promotion.items,
            promotion.smallest,
            promotion.needed,
        )
        if promotion
        else None,
        decision_id=promotion.promotion_id if promotion else "",
    )
