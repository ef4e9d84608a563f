"""`migaki monitor` with a real Prefect engine: its table, what its run leaves on Prefect's page, and an alert that is told once."""

import time
from datetime import timedelta

import pytest
from prefect import get_client
from prefect.events.filters import EventFilter, EventNameFilter

from storage.catalog import utc_now
from storage.home import Home
from tests.helpers.watched_chats import USUAL, plant_weeks

pytestmark = pytest.mark.slow


@pytest.fixture
def client(migaki_here):
    with get_client(sync_client=True) as found:
        yield found


def alerts(client, count, seconds=20):
    """The payloads of the events, once there are so many."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        events = client.read_events(EventFilter(event=EventNameFilter(name=["migaki.monitor.alert"])), limit=50).events
        if len(events) >= count:
            return [event.payload for event in events]
        time.sleep(0.2)
    raise TimeoutError(f"{len(events)} of {count} events")


def test_a_planted_week_is_told_of_once_and_stands_on_prefects_page(client, migaki_here, tmp_path):
    nothing = migaki_here(tmp_path, "monitor")
    assert nothing["answers"] == 0 and nothing["alerts"] == {} and "nobody asked anything in the week of" in nothing["stderr"]
    plant_weeks(Home(tmp_path), utc_now() - timedelta(weeks=1), [*USUAL, 0.40])
    first = migaki_here(tmp_path, "monitor", "--set", "run.chat_address=https://chat.example.org")
    assert {name.split(".")[1] for name in first["alerts"]} == {"unanswered", "cited"} and first["told"] == list(first["alerts"].values())
    assert "there is no index yet" in first["stderr"] and first["page"] == "https://chat.example.org/monitor"
    row = next(row for row in first["rows"] if row[:2] == ["unanswered", "all"])
    assert row == ["unanswered", "all", "0.400", "0.286 to 0.526", "60", "0.026 to 0.174", "ABOVE its range"]
    assert migaki_here(tmp_path, "monitor")["told"] == []
    (payload,) = alerts(client, 1)
    assert payload["alerts"] == first["told"] and payload["week"] == first["week"]
    kept = {one.key: one for one in client.read_latest_artifacts()}
    assert "unanswered | all" in kept["monitor"].data.replace("\\", "") and "/monitor" in kept["monitor-page"].data


def test_a_wrong_setting_is_refused_by_its_name(migaki_here, tmp_path):
    for said, words in (
        ("monitor.zone=Asia/Tokio", "monitor.zone = 'Asia/Tokio'"),
        ("monitor.least_items=3", "monitor.least_items = 3"),
        ("monitor.weaks=3", "did you mean monitor.weeks?"),
    ):
        answer = migaki_here(tmp_path, "monitor", "--set", said, check=False)
        assert answer["exit_code"] == 1 and words in answer["message"]
