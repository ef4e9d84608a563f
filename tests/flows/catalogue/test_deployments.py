"""What begins runs of deployments, how many there are at once, and on which queue they wait: prefect.yaml as it stands."""

import json
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.server.utilities.user_templates import render_user_template_sync

from flows.commands.platform import QUEUES
from flows.running import pools
from flows.running.events import CORPUS_UPDATED
from tests import ROOT

DEPLOYMENTS = {one["name"]: one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]}


def test_what_people_start_on_the_gpu_waits_in_the_queue_that_goes_first():
    queues = {one["work_pool"].get("work_queue_name") for one in DEPLOYMENTS.values() if one["work_pool"]["name"] == "gpu"}
    assert queues == {"interactive"} and QUEUES["interactive"] < QUEUES["batch"]


@pytest.mark.parametrize(("scheduled", "queue"), [(False, "interactive"), (True, "batch")])
def test_stages_wait_where_their_run_belongs(monkeypatch, scheduled, queue):
    context = SimpleNamespace(get=lambda: SimpleNamespace(flow_run=SimpleNamespace(auto_scheduled=scheduled)))
    monkeypatch.setattr(pools, "FlowRunContext", context)
    assert pools._queue() == queue


def test_what_changes_what_serves_or_is_told_runs_one_at_a_time_and_the_next_waits():
    limits = {name: one["concurrency_limit"] for name, one in DEPLOYMENTS.items() if "concurrency_limit" in one}
    assert limits.keys() == {"retrain", "index", "promote", "safety", "monitor"}
    assert all(limit == {"limit": 1, "collision_strategy": "ENQUEUE"} for limit in limits.values())


def test_schedules_are_off_until_somebody_switches_them_on_and_in_zones_that_there_are():
    schedules = [schedule for one in DEPLOYMENTS.values() for schedule in one.get("schedules", ())]
    assert schedules and not any(schedule["active"] for schedule in schedules)
    assert {ZoneInfo(schedule["timezone"]).key for schedule in schedules} == {"Asia/Tokyo"}


@pytest.mark.parametrize(
    ("payload", "documents"),
    [
        ({"documents": ["/srv/資料", 'a "b".csv#text=answer']}, ["/srv/資料", 'a "b".csv#text=answer']),
        ({"documents": "/srv/manuals", "added": 1}, ["/srv/manuals"]),
        ({"documents": None}, ["examples/documents"]),
        ({}, ["examples/documents"]),
        # Refused by the run, in words, and told as one that failed.
        ({"documents": []}, [""]),
        ({"documents": ""}, [""]),
        ({"documents": 5}, ["5"]),
        ({"documents": {"手引き": 1}}, ["{'手引き': 1}"]),
        ({"documents": [["a.md"], 7]}, ["['a.md']", "7"]),
    ],
)
def test_what_an_event_names_is_what_its_run_indexes(payload, documents):
    [trigger] = DEPLOYMENTS["index"]["triggers"]
    assert (trigger["expect"], trigger["enabled"], trigger["schedule_after"]) == ([CORPUS_UPDATED], True, 20)
    template = trigger["parameters"]["index"]["documents"]["value"]["template"]
    assert json.loads(render_user_template_sync(template, {"event": SimpleNamespace(payload=payload)})) == documents
    assert DEPLOYMENTS["index"]["parameters"]["index"]["documents"] == ["examples/documents"]
