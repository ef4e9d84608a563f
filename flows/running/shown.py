"""What a run leaves on Prefect's page: a retraining run its tables, its curves, and where its report is; a study its figures."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.running.pages import plain, table
from flows.running.parameters import RunSettings
from flows.running.report import facts_of, keep_study_page
from storage.artifacts import ArtifactRef
from storage.home import Home
from storage.kinds import Studied
from storage.queries.studies import StudyFigure, figures_of_study
from tasks.evaluation.facts import Facts, Table

UNFIT = re.compile(r"[()<>\"`\\]")  # in an address: what ends a link of Markdown, or begins something else


def show_retrain(home: Home, run_id: str, run: RunSettings, log: Callable[[str], None]) -> None:
    """Write the artifacts of a run whose stages have ended, and say what the command says of it at the end."""
    facts = facts_of(home, run_id)
    for key, title, (columns, rows) in tables_of(facts):
        create_markdown_artifact(table(columns, [list(map(cell_of, row)) for row in rows]), key=key, description=title)
    if curves := curves_of(facts):
        create_markdown_artifact(curves, key="curves", description="What was learnt, step by step")
    address = report_address(run, run_id)
    create_link_artifact(
        address,
        link_text="report",
        key="report",
        description="The report of the run, on the chat's page (migaki serve): for the role admin",
    )
    for line in lines_of(facts):
        log(line)
    log(f"report: {address}")


def show_study(home: Home, ref: ArtifactRef, log: Callable[[str], None]) -> None:
    """Write the figures of a study as artifacts of its run, and say what came of it; its page goes where the reports are."""
    study = Studied.of(ref.meta, f"the study {ref.id[:12]}")
    keep_study_page(home, ref, study.study)
    found = figures_of_study(home, ref.id)
    for key, title, rows in (
        ("figures", "Arms on the same items; in brackets 95 % intervals", [one for one in found if one.items and not one.against]),
        ("differences", f"Differences from {study.arms[0]}; in brackets 95 % intervals", [one for one in found if one.against]),
        ("arms", "What each arm took and came to", [one for one in found if not one.items]),
    ):
        if rows:
            lines = [[one.arm, one.measure, one.lang, _with_interval(one), one.items or ""] for one in rows]
            create_markdown_artifact(table(["arm", "figure", "language", "value", "items"], lines), key=key, description=plain(title))
    log(study.because)
    if study.adopting:
        log(f"nothing has changed; a release takes it up where the gate promotes it: {study.adopting}")


def _with_interval(one: StudyFigure) -> str:
    between = "" if one.low is None or one.high is None else f" ({one.low:.3f} to {one.high:.3f})"
    return f"{one.value:,.0f}" if not between and float(one.value).is_integer() else f"{one.value:.3f}{between}"


def tables_of(facts: Facts) -> Iterator[tuple[str, str, Table]]:
    """(key, title, table) of what the report has as tables."""
    from tasks.evaluation.report import figure_table, gate_table, stage_table  # not above: matplotlib takes a second
    from tasks.evaluation.report_chat import chat_table

    yield "stages", "What each stage took and came to", stage_table(facts)
    yield "figures", "Models on the same items; in brackets 95 % intervals", figure_table(facts)
    if chat := chat_table(facts):
        yield "chatbot", "The chatbot as people meet it; in brackets 95 % intervals", chat[0]
    if gate := gate_table(facts):
        yield "gate", plain(f"{facts.decision}: {facts.reason}"), gate


def cell_of(value: object) -> str:
    """A cell in words; three digits of a figure are enough."""
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def curves_of(facts: Facts) -> str:
    """The curves as Markdown that holds its images: a page of Prefect's may fetch none."""
    from tasks.evaluation.report import charts

    return "\n\n".join(
        f"![{plain(title)}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})" for title, svg in charts(facts).items()
    )


def report_address(run: RunSettings, run_id: str) -> str:
    """Where the chat's page shows the report of a run: whatever whoever started it gave as that address, a link and nothing else in Markdown."""
    return f"{UNFIT.sub(lambda found: quote(found[0]), run.chat_address.rstrip('/'))}/report#{run_id}"


def lines_of(facts: Facts) -> Iterator[str]:
    """What the table says that the command ends with, line by line; the decision was said when it was made."""
    for stage in facts.stages:
        line = next(iter(stage.meta.get("headlines") or ()), None)
        figure = f", {line['label']}: {cell_of(line.get('before'))} -> {cell_of(line.get('after'))}" if line else ""
        yield f"{stage.name}: {'reused' if stage.status == 'reused' else 'done'}, {stage.seconds:.1f} s{figure}"
    if choice := facts.meta("choose").get("choice"):
        yield f"choose: {choice['because']}"
