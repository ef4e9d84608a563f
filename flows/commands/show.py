"""What the command prints: tables read from the catalog."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.running.report import keep_study_page
from storage.artifacts import ArtifactStore, read_manifest
from storage.home import Home, StorageError
from storage.kinds import RECORDS, Adapter, Dataset, Model, Release, Studied
from storage.prune import prune, unneeded
from storage.queries import runs
from storage.queries.indexes import newest_indexes
from storage.queries.models import newest_models
from storage.queries.promotions import newest_promotion, promotion_of
from storage.queries.sandbox import ask
from storage.registry import champion, champion_index, rebuild
from storage.releases import KeptRelease, Promotion, newest_releases
from tasks.data import accounts
from tasks.errors import MigakiError
from tasks.shown import shown

if TYPE_CHECKING:
    from flows.running.parameters import RunParams
    from flows.running.plan import PlanLine


class PlainConsole(Console):
    """Prints text as it is: what is told comes from documents, models and people."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*[shown(one) if isinstance(one, str) else one for one in objects], **options)


console = PlainConsole(stderr=True, highlight=False, markup=False, emoji=False, width=None if sys.stderr.isatty() else 140)


def table(title: str, columns: list[str], rows: list[list[Any]], right: tuple[str, ...] = (), ruled: bool = False) -> None:
    """`ruled` draws a line below every row, for rows of several lines."""
    drawn = Table(title=title and Text(shown(title), "table.title"), title_justify="left", header_style="bold", show_lines=ruled)
    for column in columns:
        drawn.add_column(Text(shown(column)), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*[Text("" if value is None else shown(value)) for value in row])
    console.print(drawn)


def number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)


def fields_of(row: object, *names: str) -> dict[str, Any]:
    """These fields of a row."""
    return {name: getattr(row, name) for name in names}


def stages_of(home: Home, run_id: str) -> list[dict[str, Any]]:
    """The stages of a run in their order, each with its key figure."""
    rows = []
    for stage in runs.stages(home, run_id):
        nothing = {"label": "", "before": None, "after": None}  # a record leaves out what it has not
        headline = nothing | next(iter(stage.meta.get("headlines") or ()), {})
        choice = {"choice": stage.meta["choice"]} if stage.stage == "choose" else {}
        rows.append(fields_of(stage, "stage", "status", "seconds", "artifact_id", "body_seconds") | headline | choice)
    return rows


def run_table(home: Home, run_id: str) -> dict[str, Any]:
    """The table at the end of `retrain`; returns the same for --json."""
    stages, run, promotion = stages_of(home, run_id), runs.run(home, run_id), promotion_of(home, run_id)
    decided = {"decision": "unchanged", "reason": "keep: unchanged, the release is the champion already"}
    if promotion is not None:
        decided = {"decision": promotion.decision, "reason": promotion.reason, "release": promotion.release_id}
    rows = [
        [
            stage["stage"],
            "reused" if stage["status"] == "reused" else "done",
            f"{stage['seconds']:.1f}",
            stage["label"],
            number(stage["before"]),
            number(stage["after"]),
        ]
        for stage in stages
    ]
    table(
        f"retrain ({run.profile}), {run.seconds:.0f} s",
        ["stage", "", "seconds", "key figure", "before", "after"],
        rows,
        right=("seconds", "before", "after"),
    )
    report = home.reports / f"{run_id}.html"
    for stage in stages:
        if "choice" in stage:
            console.print(f"{stage['stage']}: {stage['choice']['because']}")
    console.print(Text.assemble((shown(decided["decision"]), "bold"), shown(f": {decided['reason']}")))
    console.print(f"report: {report}", soft_wrap=True)
    return {"run_id": run_id, "seconds": run.seconds, "stages": stages, "report": str(report), **decided}


def stage_lines(home: Home, name: str, answer: str, params: "RunParams") -> dict[str, Any]:
    """What one stage came to."""
    if name == "promote":
        console.print(f"promote: {answer}")
        return {"decision": answer} | (decision_line(home) if answer != "unchanged" else {})
    ref = ArtifactStore(home).get(answer)
    record = RECORDS[ref.kind].of(ref.meta, ref.id)
    files: dict[str, Any] = {}
    if isinstance(record, Dataset):
        from flows.commands.cut import COLUMN, cut_shares  # with transformers

        cells = cut_shares(home, params, ArtifactStore(home).path(ref), record.files or [], record.today)
        files = file_table(record.files or [], COLUMN if any(cells) else "", cells)
    if isinstance(record, Adapter | Model) and record.choice:
        console.print(record.choice.because)
    for line in record.headlines or ():
        console.print(f"{line.label}: {number(line.before)} -> {number(line.after)}")
    console.print(f"{ref.kind} {ref.id[:12]}")
    if isinstance(record, Studied):
        files = {"report": str(page := keep_study_page(home, ref, record.study))}
        console.print(f"report: {page}")
        if record.adopting:
            console.print(f"nothing has changed; a release takes it up where the gate promotes it: {record.adopting}", soft_wrap=True)
    if ref.kind == "index":
        files = {"serving": (now := champion_index(home)) is not None and now.artifact_id == ref.id}
    return {"artifact": ref.model_dump()} | files


def file_table(files: list[dict[str, Any]], column: str = "", cells: Sequence[str] = ()) -> dict[str, Any]:
    """What prepare made of each file of rows; returns the same for --json.

    Args:
        files: as a dataset's record has them.
        column: one more, with its cells in the order of the files.
    """
    if not files:
        return {"files": files}
    rows = [[*row, *cells[place : place + 1]] for place, row in enumerate(accounts.table(files))]
    more = (column,) if column else ()
    table(
        "what came of the files (turns: answers of the assistant to learn)",
        [*accounts.COLUMNS, *more],
        rows,
        right=(*accounts.NUMBERS, *more),
        ruled=True,
    )
    if column:
        files = [file | {column.replace(" ", "_"): cell} for file, cell in zip(files, cells, strict=True)]
    for line in accounts.notes(files):
        console.print(line)
    return {"files": files}


def status_tables(home: Home, *, rebuild_first: bool = False) -> dict[str, Any]:
    """What serves, releases, models, indexes and the last runs."""
    if rebuild_first:
        console.print(f"{rebuild(home)} artifacts entered into the catalog")
    now, models, indexes, last = champion(home), newest_models(home, 10), newest_indexes(home, 5), runs.newest_runs(home, 10)
    console.print(f"home: {home.root}", soft_wrap=True)
    serving, decided = release_lines(home), decision_line(home)
    releases = newest_releases(home, 10)
    table(
        "releases",
        ["id", "stage", "model", "index", "promoted (UTC)"],
        [[r.release_id[:12], r.stage, (r.artifact_id or "server")[:12], (r.index_id or "")[:12], minute(r.promoted)] for r in releases],
    )
    table(
        "models",
        ["id", "stage", "base", "precision", "MiB", "made (UTC)"],
        [[m.model_id[:12], m.stage, m.base, m.precision, f"{m.bytes / 2**20:.0f}", f"{m.created:%Y-%m-%d %H:%M}"] for m in models],
        right=("MiB",),
    )
    table(
        "indexes",
        ["id", "stage", "embedder", "documents", "chunks", "skipped", "hit@5"],
        [[i.artifact_id[:12], i.stage, i.embedder, i.documents, i.chunks, i.skipped, number(i.hit_at_5)] for i in indexes],
        right=("documents", "chunks", "skipped"),
    )
    table(
        "last runs",
        ["id", "flow", "status", "profile", "seconds", "started (UTC)", "error"],
        [
            [
                r.run_id[:8],
                r.flow,
                r.status,
                r.profile,
                r.seconds and f"{r.seconds:.0f}",
                f"{r.started:%Y-%m-%d %H:%M}",
                (r.error or "")[:80],
            ]
            for r in last
        ],
        right=("seconds",),
    )
    return {
        "release": serving,
        "decision": decided,
        "champion": now and asdict(now),
        "releases": [asdict(release) for release in releases],
        "models": [fields_of(model, "model_id", "stage", "base", "precision", "bytes", "created") for model in models],
        "indexes": [
            fields_of(index, "artifact_id", "stage", "embedder", "documents", "chunks", "skipped", "hit_at_5", "created")
            for index in indexes
        ],
        "runs": [asdict(run) for run in last],
    }


def release_lines(home: Home) -> dict[str, Any] | None:
    """Which release serves, since when, what it names, and what of it is gone."""
    from flows.running.releases import WAY_OUT, fault, reigning_release  # with the settings of every room

    try:
        now = reigning_release(home)
    except (MigakiError, StorageError) as error:  # a home from before there were releases, whose model is gone
        console.print(f"champion: none can serve: {error}", soft_wrap=True)
        return None
    if now is None:
        console.print("champion: none yet; `migaki retrain` makes one")
        return None
    wrong, names = fault(home, now.release_id), named_by(home, now)
    console.print(f"champion: release {now.release_id[:12]}, since {minute(now.promoted)} UTC", soft_wrap=True)
    for name, value in names.items():
        console.print(f"  {name}: {value}", soft_wrap=True)
    if wrong:
        console.print(f"  it cannot serve: {wrong}. {WAY_OUT}", soft_wrap=True)
    return asdict(now) | {"names": names, "fault": wrong}


def named_by(home: Home, release: KeptRelease) -> dict[str, str]:
    """What a release names, in words; {} where it is gone or damaged."""
    manifest = read_manifest(home.objects / "release" / release.release_id)
    try:
        record = Release.of(manifest["meta"] if manifest else {}, "a release")
        made = read_manifest(home.objects / "model" / record.model) if record.model else None
        choice = Model.of(made["meta"], "a model").choice if made else None
    except StorageError:
        return {}
    server = f"{record.server_model} on a server (chat.server)"
    settings = {"chat": record.chat, "tools": record.tools, "safety": record.safety}
    return {
        "model": f"{record.model[:12]} ({record.precision})" if record.model else server,
        **({"made of": choice.because} if choice else {}),
        "answers": ", ".join(f"{lang}: {how}" for lang, how in record.answering.items()),
        "classifier": record.classifier[:12] or "none: rules alone",
        "index": (release.index_id or "")[:12] or "none that it was decided on with",
        **{name: ", ".join(f"{key} = {value}" for key, value in values.items() if value != "") for name, values in settings.items()},
    }


def decision_line(home: Home) -> dict[str, Any]:
    """What was decided last, and why; with how much the gate could see."""
    last = newest_promotion(home)
    if last is None:
        return {}
    console.print(f"last decision, on the release {last.release_id[:12]}: {last.decision}: {last.reason}", soft_wrap=True)
    return fields_of(last, "decision", "reason", "metric", "difference", "low", "high", "items", "smallest", "needed") | {
        "release": last.release_id
    }


def promotion_line(promotion: Promotion) -> dict[str, Any]:
    """That a release was put in the champion's place by hand."""
    console.print(f"{promotion.decision}: the release {promotion.release_id[:12]} serves now ({promotion.reason})")
    return {"decision": promotion.decision, "release": promotion.release_id, "reason": promotion.reason}


def minute(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else ""


def prune_table(home: Home, keep_runs: int, dry_run: bool) -> dict[str, Any]:
    """What goes, or with `dry_run` would go, and the room that it took. Raises what `storage.prune.prune` raises."""
    going = unneeded(home, keep_runs) if dry_run else prune(home, keep_runs)
    size = sum(one.bytes for one in going) / 2**20
    if going:
        rows = [[one.ref.id[:12], one.ref.kind, one.stage, f"{one.created:%Y-%m-%d %H:%M}", f"{one.bytes / 2**20:.1f}"] for one in going]
        table("not needed", ["id", "kind", "stage", "made (UTC)", "MiB"], rows, right=("MiB",))
    console.print(f"{len(going)} artifacts {'would be' if dry_run else 'are'} removed, {size:.1f} MiB")
    return {"artifacts": [one.ref.id for one in going], "bytes": sum(one.bytes for one in going), "dry_run": dry_run}


def sql_table(home: Home, query: str, files: list[Path]) -> dict[str, Any]:
    """The rows of a query, as a table and as JSON. Raises what `storage.queries.sandbox.ask` raises."""
    if rows := ask(home, query, files):
        table("", list(rows[0]), [[number(value) if isinstance(value, float) else value for value in row.values()] for row in rows])
    console.print(f"{len(rows)} rows")
    return {"rows": rows}


def harvest_table(report: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """The table of a harvest, and examples where nothing was written."""
    table("harvest", ["", "language", "", "rows"], [list(row.values()) for row in report["counts"]], right=("rows",))
    if not report["counts"]:
        console.print("nobody has rated or corrected an answer yet: thumbs on the page, /good, /bad and /better in `migaki chat`")
    if report["held"] and not dry_run:
        console.print(
            f"{report['held']} rated turns may speak of somebody's health and wait for a person in feedback/chats.held.jsonl of the home"
        )
    if dry_run:
        for row in [*report["pairs"], *report["instructions"]]:
            console.print(json.dumps(row, ensure_ascii=False), soft_wrap=True)
        console.print("a dry run: nothing was written")
    return report


def plan_table(lines: "list[PlanLine]") -> dict[str, Any]:
    """What a retraining run would do, stage by stage; the gate, which makes no artifact, decides anew each time."""
    table("retrain would", ["stage", "", "because"], [[line.stage, line.would, line.because] for line in lines])
    return {"stages": [asdict(line) for line in lines]}
