"""What becomes of a stage on its work pool when the run that waits for it ends."""

from types import SimpleNamespace
from uuid import UUID

import pytest
from prefect.states import Cancelled, Cancelling, Crashed, Running

from flows.running import pools


class Client:
    """Knows the runs that wait, by name, and keeps what it is told of a stage, which the first of them handed over."""

    def __init__(self, **states):
        self.runs = {name: SimpleNamespace(id=name, state=state) for name, state in states.items()}
        self.told = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def read_flow_run(self, id):
        return self.runs[id]

    def read_flow_runs(self, task_run_filter):
        assert task_run_filter.id.any_ == [STAGE.parent_task_run_id]
        return [next(iter(self.runs.values()))]

    def set_flow_run_state(self, id, state):
        self.told.append((id, state.type.value, state.message))


STAGE = SimpleNamespace(id="stage", parent_task_run_id=UUID(int=1))
ENDED = [("stage", "CANCELLING", "the run that wanted it was cancelled")]


@pytest.fixture
def within(monkeypatch):
    """Be in the flow run of that name."""

    def enter(name, client):
        own = SimpleNamespace(flow_run=SimpleNamespace(id=name))
        monkeypatch.setattr(pools, "FlowRunContext", SimpleNamespace(get=lambda: own))
        monkeypatch.setattr(pools, "get_client", lambda sync_client: client)

    return enter


@pytest.mark.parametrize(
    ("own", "states", "told"),
    [
        ("first", {"first": Cancelling()}, ENDED),
        ("first", {"first": Running()}, []),  # the worker ends, or the machine: begun again, it finds the stage
        ("first", {"first": Crashed()}, []),
        ("second", {"first": Running(), "second": Cancelling()}, []),  # who handed it over waits for it
        ("second", {"first": Crashed(), "second": Cancelling()}, ENDED),  # as where the second is the first, begun again
    ],
)
def test_a_stage_ends_with_the_run_that_wanted_it_where_that_is_cancelled(within, own, states, told):
    client = Client(**states)
    within(own, client)
    with pytest.raises(SystemExit), pools._cancelled_with_its_parent(client, STAGE):
        raise SystemExit
    assert client.told == told


@pytest.mark.parametrize(
    ("own", "first", "again"),
    [("second", Cancelled(), True), ("second", Cancelling(), True), ("second", Running(), False), ("first", Cancelled(), False)],
)
def test_a_stage_that_ended_with_another_run_is_handed_over_again(within, own, first, again):
    within(own, Client(first=first, second=Running()))
    assert pools._cancelled_by_another(STAGE) is again
