"""Watch the chatbot: figures of the last week and of the last release against those before, drift, and what people ask that no document answers."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.running.dispatch import log_of, recorded
from flows.running.names import named
from flows.running.pages import plain, table
from flows.running.parameters import RunSettings
from flows.running.watching import MONITOR_PAGE, keep_watched, read_watched, watch
from flows.serving.live_index import open_champion
from storage.home import Home, StorageError
from tasks.errors import MigakiError
from tasks.monitoring.settings import MonitorSettings
from tasks.monitoring.shown import COLUMNS, rows_of


@flow(name="monitor", flow_run_name=named)
def monitor(monitor: MonitorSettings = MonitorSettings(), run: RunSettings = RunSettings()) -> dict[str, Any]:
    """Figures of the last week and release against those before. Returns what the page `/monitor` shows, but for its curves."""
    from tasks.monitoring.charts import trends  # not above: matplotlib takes a second

    home = Home.current()
    with recorded("monitor", run, monitor.model_dump(mode="json")) as this:
        meaning, without = None, "there is no index yet"
        try:
            if retriever := open_champion(home, log=log_of(run)).retriever:
                meaning, without = retriever.meaning, ""
        except (MigakiError, StorageError) as error:  # the figures can be told all the same
            without = str(error)
        found = watch(home, monitor, meaning, without)
        new = keep_watched(home, found, trends(found.series), this.run_id)
    page = f"{run.chat_address.rstrip('/')}{MONITOR_PAGE}"
    for words in found.alerts.values():
        get_run_logger().warning("%s%s", words, "" if words in new else " (told before)")
    get_run_logger().info("monitor: %d answers in the week of %s, %d alerts; %s", found.answers, found.week, len(found.alerts), page)
    rows = rows_of(found)
    create_markdown_artifact(table(COLUMNS, rows), key="monitor", description=plain(f"The week of {found.week}"))
    create_link_artifact(page, link_text="monitor", key="monitor-page", description="The same with curves, on the chat's page: for admins")
    shown = read_watched(home) or {}
    return {name: value for name, value in shown.items() if name != "charts"} | {"page": page, "told": new, "rows": rows}
