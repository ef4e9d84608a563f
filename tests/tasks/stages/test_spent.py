"""What a stage cost, and what it shows of itself."""

import time

import numpy as np
import pytest

from flows.catalogue.stages import STAGES
from storage.home import Home
from tasks.progress import Bar
from tasks.stages.spent import spent
from tasks.stages.work import Context, Work


@pytest.fixture
def work(tmp_path):
    context = Context(Home(tmp_path), "", "", emit=lambda text, final: None, log=lambda text: None)
    return Work(STAGES["prepare"], tmp_path / "x.tmp-1", context, {})


def figures(work):
    return {row["name"]: row["value"] for row in work.figures()["metrics"]}


def test_a_stage_costs_the_processor_seconds_that_it_used_and_the_most_memory_that_was_held(work):
    with spent(work):
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
        time.sleep(0.3)
    first = figures(work)
    assert list(first) == ["prepare.device_seconds", "prepare.peak_bytes"]
    assert 0.15 < first["prepare.device_seconds"] < 0.4  # not the time it slept
    with spent(work):
        np.ones(2**25).sum()  # 256 MiB, for a moment
    most = figures(work)["prepare.peak_bytes"]
    assert most > first["prepare.peak_bytes"] + 200 * 2**20
    with spent(work):
        pass
    assert figures(work)["prepare.peak_bytes"] < most - 200 * 2**20  # of this stage, not of the ones before


def test_a_stage_that_fails_has_cost_nothing_that_is_kept(work):
    with pytest.raises(ZeroDivisionError), spent(work):
        1 / 0  # noqa: B018
    assert figures(work) == {}


def test_a_piece_is_run_by_whoever_shows_it(work):
    shown = []

    def show(name, of, piece):
        shown.append((name, of))
        return piece()

    assert work.step("merge", lambda: 3) == 3
    work._step = show
    assert work.step("measure_variant", lambda: 4, "int8") == 4 and work.step("merge", lambda: None) is None
    assert shown == [("measure_variant", "int8"), ("merge", "")]


def test_a_bar_tells_its_share_to_whoever_watches():
    told = []
    with Bar("index: embed", 4, lambda text, last: None, 1, lambda *what: told.append(what)) as bar:
        bar.advance()
        bar.advance(5)
    assert told == [("index: embed", share, last) for share, last in ((0.25, False), (0.5, False), (1.0, False), (1.0, True))]
