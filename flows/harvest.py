"""Turn what people thought of the chatbot's answers into training data for the next retraining. Runs on a schedule before it."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.running.dispatch import recorded
from flows.running.feedback import gather, record_harvest, write_harvest
from flows.running.names import named
from flows.running.pages import table
from flows.running.parameters import RunSettings
from storage.home import Home
from tasks.flywheel.settings import HarvestSettings

EXAMPLES = 3


@flow(name="harvest", flow_run_name=named)
def harvest(harvest: HarvestSettings = HarvestSettings(), run: RunSettings = RunSettings()) -> dict[str, Any]:
    """Ratings and corrections of chats to preference pairs and instructions. Returns the counts, and examples."""
    home = Home.current()
    found = gather(home, harvest)
    if not harvest.dry_run:
        with recorded("harvest", run, harvest.model_dump(mode="json")) as this:
            write_harvest(home, found)
            record_harvest(home, found, this.run_id)
    report: dict[str, Any] = {
        "counts": found.counts(),
        "pairs": found.pairs[:EXAMPLES],
        "instructions": found.instructions[:EXAMPLES],
        "held": len(found.held),
    }
    get_run_logger().info("harvest: %d preference pairs, %d instructions", len(found.pairs), len(found.instructions))
    rows = [[row["kind"], row["lang"], row["reason"], row["rows"]] for row in report["counts"]]
    create_markdown_artifact(table(["kind", "language", "", "rows"], rows), key="harvest", description="What chats taught")
    return report
