"""Releases whose faults are planted do not come to serve, and better ones do: through the engine, on a model that is scripted."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.evaluation.asking import ask_all
from tasks.evaluation.promotion import LOSS, Evidence, decide
from tasks.evaluation.settings import PromoteSettings
from tests.helpers.planted_chats import resampled
from tests.helpers.planted_releases import WITHOUT_CONTEXT, KilnIndex, Reader, kiln_items, planted

BAD = {
    "temperature 3": lambda: planted(temperature=3.0),
    "a template without context": lambda: planted(templates=WITHOUT_CONTEXT),
    "never abstains": lambda: planted(cost_wrong=0.0),
    "always abstains": lambda: planted(index=KilnIndex(never=True)),
    "quotes the first chunk of the index": lambda: planted(index=KilnIndex(first=True)),
    "says the first sentence of what was found": lambda: planted(Reader(first=True)),
    "noised weights": lambda: planted(Reader(skill=0.3)),
}
BETTER = {
    "a working template": lambda: planted(templates=WITHOUT_CONTEXT),
    "a better index": lambda: planted(index=KilnIndex(lost=0.5)),
    "a better model": lambda: planted(Reader(skill=0.4)),
}


@pytest.fixture(scope="module")
def good():
    """(items, rows of a good release, as the role that is wanted)."""
    items = kiln_items()
    rows = ask_all(planted(), items, "release")
    return items, lambda role: [row | {"model": role} for row in rows]


def decided(rows, loss=0.0):
    interval = {"value": loss, "low": loss - 0.05, "high": loss + 0.05, "items": 160}
    figures = [{"model": "release - champion", "metric": LOSS, "lang": "all"} | interval]
    found = decide(Evidence(figures, rows, "champion"), PromoteSettings())
    return found, abs(found.difference) / found.smallest


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_release_is_kept_out(good, fault):
    items, rows = good
    found, times = decided([*ask_all(BAD[fault](), items, "release"), *rows("champion")], loss=0.3 if "weights" in fault else -0.3)
    assert found.decision == "keep" and found.high < 0 and times >= 2, found.reason


@pytest.mark.parametrize("gain", BETTER)
def test_a_better_release_is_promoted(good, gain):
    items, rows = good
    found, times = decided([*rows("release"), *ask_all(BETTER[gain](), items, "champion")])
    assert found.decision == "promote" and times >= 2, found.reason


def test_a_release_against_itself_is_seldom_promoted(good):
    items, _ = good
    again = [ask_all(planted(), [replace(item, id=f"{item.id} {seed}") for item in items]) for seed in range(4)]  # the seed is the item's
    rng = np.random.default_rng(0)
    decisions = [decided(resampled(rng, again))[0].decision for _ in range(60)]
    assert decisions.count("promote") <= 6 and decisions.count("inconclusive") >= 48
