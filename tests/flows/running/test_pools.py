"""What becomes of a stage on its work pool when the run that waits for it ends."""

from types import SimpleNamespace

import pytest
from prefect.states import Cancelling, Crashed, Running

from flows.running import pools


class Client:
    """Knows the state of the run that waits, and keeps what it is told of others."""

    def __init__(self, state):
        self.state, self.told = state, []

    def read_flow_run(self, id):
        assert id == "parent"
        return SimpleNamespace(state=self.state)

    def set_flow_run_state(self, id, state):
        self.told.append((id, state.type.value, state.message))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (Cancelling(), [("stage", "CANCELLING", "the run that wanted it was cancelled")]),
        (Running(), []),  # the worker ends, or the machine: begun again, it finds the stage
        (Crashed(), []),
    ],
)
def test_a_stage_ends_with_the_run_that_wanted_it_where_that_is_cancelled(monkeypatch, state, told):
    own = SimpleNamespace(flow_run=SimpleNamespace(id="parent"))
    monkeypatch.setattr(pools, "FlowRunContext", SimpleNamespace(get=lambda: own))
    client = Client(state)
    with pytest.raises(SystemExit), pools._cancelled_with_its_parent(client, SimpleNamespace(id="stage")):
        raise SystemExit
    assert client.told == told
