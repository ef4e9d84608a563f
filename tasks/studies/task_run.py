"""A study inside of its stage: run or gone on with, its figures and every answer into the catalog, its page beside them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from storage.kinds import Studied
from tasks.stages.work import Work
from tasks.studies.figures import Figure, figures, winner
from tasks.studies.report import adopting, study_page
from tasks.studies.study import ALL, Journal, Results, Study, run_study

PAGE = "report.html"
COLUMNS = {"text": "answer", "values": "measures"}  # of the table, where an answer's field has another name


def studied(
    study: Study,
    work: Work,
    plots: Callable[[Results, Sequence[Figure]], Sequence[str]] = lambda results, found: (),
    notes: Sequence[str] = (),
) -> Studied:
    """Run the study, record it, and write its page.

    Args:
        plots: SVGs for the page.
        notes: sentences that whoever reads the figures must know.
    """
    with work.progress(study.name.replace("_", " "), len(study.arms) * len(study.items)) as bar:
        results = run_study(study, Journal(_journal(work)), lambda items: bar.advance(items))
    found, best = figures(study, results), winner(study, results)
    _record(study, results, found, work)
    page = study_page(study, results, found, best, plots(results, found), notes)
    (work.path / PAGE).write_text(page, encoding="utf-8")
    if len(study.arms) > 1:
        work.headline(best.because, None, best.arm)
    return Studied(
        study=study.name,
        arms=[arm.name for arm in study.arms],
        items=len(study.items),
        winner=best.arm,
        because=best.because,
        adopting=adopting(study, best),
    )


def whole(found: Sequence[Figure], measure: str) -> str:
    """All languages together; where there is one, that."""
    langs = {one.lang for one in found if one.measure == measure}
    return ALL if ALL in langs else min(langs)


def _journal(work: Work) -> Path:
    return work.kept.path.with_suffix(".jsonl")


def _record(study: Study, results: Results, found: Sequence[Figure], work: Work) -> None:
    own = [
        {
            "study": study.name,
            "arm": one.arm,
            "measure": one.measure,
            "lang": one.lang,
            "against": one.against,
            "value": one.interval.value,
            "low": one.interval.low,
            "high": one.interval.high,
            "items": one.interval.items,
        }
        for one in found
    ]
    facts = [
        {"study": study.name, "arm": arm, "measure": name, "lang": ALL, "against": "", "value": float(value), "items": 0}
        for arm, of_arm in results.facts.items()
        for name, value in of_arm.items()
    ]
    work.table("studies", own + facts)
    langs = {item.id: item.lang for item in study.items}
    work.table(
        "study_answers",
        [
            {"study": study.name, "arm": row.arm, "item_id": row.item, "lang": langs[row.item], "seconds": row.seconds}
            | {COLUMNS.get(name, name): value for name, value in asdict(row.answer).items()}
            for row in results.rows
        ],
    )
    for arm in study.arms:
        for name, value in results.facts[arm.name].items():
            work.headline(f"{arm.name}: {name}", None, f"{value:,.0f}" if float(value).is_integer() else float(value))
    told = [measure.name for place, measure in enumerate(study.measures) if measure.told or not place]
    for one in sorted(found, key=lambda figure: told.index(figure.measure) if figure.measure in told else len(told)):
        if not one.against and (one.measure == told[0] or (one.measure in told and one.lang == whole(found, one.measure))):
            work.headline(f"{one.arm}: {one.measure} ({one.lang})", None, one.interval.value)
