"""What Prefect's server knows of a run, as its page shows it: runs of stages, their pieces, and what lasts."""

import re
import time

import pytest
from prefect import flow, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.catalogue.stages import STAGES
from flows.running.names import named
from flows.running.parameters import RunSettings
from flows.running.progress import EVERY, LASTS, ProgressArtifacts, key_of
from flows.running.subflows import as_subflow, as_task, show_cached, tag_this_run
from storage.artifacts import ArtifactRef
from tasks.errors import MigakiError
from tasks.rag.settings import IndexSettings
from tasks.rlhf.settings import AlignSettings
from tasks.stages.execute import Outcome

RUN = RunSettings(profile="quick", model="models/tiny")
REF = ArtifactRef(id="0123456789abcdef", kind="index", uri="", meta={})


@pytest.fixture
def client(migaki_here):
    with get_client(sync_client=True) as found:
        yield found


def runs_under(client, name):
    """(state, message, tags, parameters) by name of the runs under the newest one of that flow."""
    newest = max((run for run in client.read_flow_runs() if run.name.startswith(name)), key=lambda run: run.created)
    tasks = tasks_of(client, newest.id, 1)
    own = [run for run in client.read_flow_runs() if run.parent_task_run_id in {task.id for task in tasks}]
    return newest, {run.name.partition(" ")[0]: run for run in own}


def tasks_of(client, flow_run, count, seconds=20):
    """The task runs of a flow run, which are told as events."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = [run for run in client.read_task_runs() if run.flow_run_id == flow_run and run.state and run.state.is_final()]
        if len(found) >= count:
            return found
        time.sleep(0.2)
    raise TimeoutError(f"{len(found)} of {count} task runs")


def test_stages_are_runs_with_a_name_and_tags_their_pieces_tasks_and_what_is_there_is_cached(client):
    @flow(name="retrain", flow_run_name=named, persist_result=False)
    def retrain(run: RunSettings) -> None:
        tag_this_run("retrain", run)

        def indexed() -> Outcome:
            assert as_task("embed_chunks", "ja", lambda: 7) == 7
            return Outcome(REF, reused=False)

        assert as_subflow(STAGES["index"], IndexSettings(), run, indexed) == Outcome(REF, reused=False)
        assert as_subflow(STAGES["reward"], AlignSettings(), run, lambda: Outcome(REF, reused=True)).reused

    retrain(RUN)
    parent, stages = runs_under(client, "retrain quick ")
    assert re.fullmatch(r"retrain quick \d{4}-\d\d-\d\d", parent.name) and sorted(parent.tags) == ["retrain", "tiny"]
    index, reward = stages["index"], stages["reward"]
    assert (index.name, sorted(index.tags)) == (parent.name.replace("retrain", "index"), ["index", "tiny"])
    assert (index.state.name, index.state.message) == ("Completed", "index 0123456789ab")
    assert index.parameters["settings"]["chunk_tokens"] == IndexSettings().chunk_tokens
    assert (reward.state.name, reward.state.message) == ("Cached", "nothing differs from 0123456789ab")
    assert sorted(reward.tags) == ["gpu", "reward", "tiny"]
    assert [task.name for task in tasks_of(client, index.id, 1)] == ["embed_chunks ja"]


def test_a_stage_that_fails_fails_as_it_would_without_a_run_of_its_own(client):
    def broken() -> Outcome:
        as_task("measure {x}", "", lambda: 1)  # no field of a format
        raise MigakiError("there is nothing to measure")

    @flow(name="failing", flow_run_name=named, persist_result=False)
    def failing(run: RunSettings) -> None:
        as_subflow(STAGES["index"], IndexSettings(), run, broken)

    with pytest.raises(MigakiError, match="^there is nothing to measure$"):
        failing(RUN)
    parent, stages = runs_under(client, "failing quick ")
    assert parent.state.name == stages["index"].state.name == "Failed" and "nothing to measure" in stages["index"].state.message
    assert [task.name for task in tasks_of(client, stages["index"].id, 1)] == ["measure {x}"]


def test_a_part_of_a_flow_has_the_name_of_its_stage_and_one_by_itself_shows_that_it_was_there(client):
    @flow(name="align", flow_run_name=named, persist_result=False)
    def align(run: RunSettings, part: str) -> None:
        show_cached(STAGES["reward"], REF)

    align(RUN, part="reward")
    run = max(client.read_flow_runs(), key=lambda run: run.created)
    assert run.name.startswith("reward quick ")
    cached = tasks_of(client, run.id, 1)[0]
    assert (cached.name, cached.state.name, cached.state.message) == ("reward", "Cached", "nothing differs from 0123456789ab")


def test_what_lasts_is_followed_and_what_does_not_leaves_nothing(client):
    now = [100.0]

    @flow(name="lasting", persist_result=False)
    def lasting() -> None:
        watch = ProgressArtifacts(lambda: now[0])
        watch("quick one", 0.0, False)
        watch("quick one", 1.0, True)
        for share in (0.0, 0.25, 0.5, 0.75):
            watch("evaluate: chatbot, 量子 <b>", share, False)
            now[0] += LASTS
        watch("evaluate: chatbot, 量子 <b>", 1.0, True)

    told = []
    tell = ProgressArtifacts._tell
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressArtifacts, "_tell", lambda self, label, bar, percent: (told.append(percent), tell(self, label, bar, percent)))
        lasting()
    assert EVERY == 2 * LASTS and told == [25.0, 75.0, 100.0]
    made = [artifact for artifact in client.read_artifacts() if artifact.type == "progress"]
    assert [(artifact.key, artifact.data) for artifact in made] == [("evaluate-chatbot-b", 100.0)]
    assert made[0].flow_run_id is not None and "<" not in made[0].description.replace("\\<", "")


def test_a_server_that_is_away_costs_a_stage_nothing(client):
    @flow(name="alone", persist_result=False)
    def alone() -> float:
        now = [0.0]
        watch = ProgressArtifacts(lambda: now[0])
        watch("tune", 0.0, False)
        now[0] += LASTS
        begun = time.monotonic()
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            for step in range(1000):
                watch("tune", step / 1000, False)  # tried once, not at every step
            watch("tune", 1.0, True)
        return time.monotonic() - begun

    assert alone() < 5


@pytest.mark.parametrize(("label", "key"), [("tune", "tune"), ("align: PPO", "align-ppo"), ("量子化", "progress"), ("-- x_y --", "x-y")])
def test_keys_are_such_as_prefect_takes(label, key):
    assert key_of(label) == key
