"""Turn what people thought of the chatbot's answers into training data for the next retraining. Runs on a schedule before it."""

import json
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.commands.show import console, table
from flows.running.dispatch import recorded
from flows.running.feedback import harvested
from flows.running.parameters import RunSettings
from storage.artifacts import ArtifactStore
from storage.chats import rated_conversations
from storage.files import replacing
from storage.home import Home
from storage.registry import champion_index, record_metrics
from tasks.flywheel.harvest import Harvest
from tasks.flywheel.settings import HarvestSettings

EXAMPLES = 3


@flow(name="harvest")
def harvest(harvest: HarvestSettings = HarvestSettings(), run: RunSettings = RunSettings()) -> dict[str, Any]:
    """Ratings and corrections of chats to preference pairs and instructions. Returns the counts, and examples."""
    home = Home.current()
    found = gather(home, harvest)
    if not harvest.dry_run:
        with recorded("harvest", run, harvest.model_dump(mode="json")) as this:
            write(home, found)
            record(home, found, this.run_id)
    report = {"counts": found.counts(), "pairs": found.pairs[:EXAMPLES], "instructions": found.instructions[:EXAMPLES]}
    get_run_logger().info("harvest: %d preference pairs, %d instructions", len(found.pairs), len(found.instructions))
    lines = [f"| {row['kind']} | {row['lang']} | {row['reason']} | {row['rows']} |" for row in report["counts"]]
    create_markdown_artifact(
        "\n".join(["| kind | language | | rows |", "| --- | --- | --- | ---: |", *lines]), key="harvest", description="What chats taught"
    )
    return report


def gather(home: Home, settings: HarvestSettings) -> Harvest:
    """What the chats of a home give, but for what rests on documents that the index has no longer or not for everybody. Nothing is written.

    Raises:
        MigakiError, StorageError: the index that serves cannot be read.
    """
    from tasks.chatbot.safety.guard import Guard
    from tasks.chatbot.safety.personal import redact
    from tasks.flywheel.harvest import harvest
    from tasks.rag.retrieval import standing

    guard, store, index = Guard(), ArtifactStore(home), champion_index(home)

    def unsafe(text: str) -> bool:
        return guard.check_output(text).blocked or bool(guard.check_document(text).code)

    asked = standing(store.path(store.get(index.artifact_id))) if index else lambda source: ""
    return harvest(rated_conversations(home), settings, redact, unsafe, asked)


def write(home: Home, found: Harvest) -> None:
    """Replace the files that the next retraining reads, each whole or not at all; an empty one is removed."""
    for kind, rows in (("preferences", found.pairs), ("instructions", found.instructions)):
        path = harvested(home, kind)
        if not rows:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as draft:
            draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def record(home: Home, found: Harvest, run_id: str) -> None:
    """The counts as metrics of the run."""
    figures = {
        f"harvest.{'_'.join(count['kind'].split())}.{'_'.join(count['reason'].split())}.{count['lang']}": count["rows"]
        for count in found.counts()
    }
    record_metrics(home, run_id, figures)


def show(report: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """The table of a harvest, and examples where nothing was written."""
    table("harvest", ["", "language", "", "rows"], [list(row.values()) for row in report["counts"]], right=("rows",))
    if not report["counts"]:
        console.print("nobody has rated or corrected an answer yet: thumbs on the page, /good, /bad and /better in `migaki chat`")
    if dry_run:
        for row in [*report["pairs"], *report["instructions"]]:
            console.print(json.dumps(row, ensure_ascii=False), soft_wrap=True, markup=False)
        console.print("a dry run: nothing was written")
    return report
