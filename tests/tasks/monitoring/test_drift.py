"""Whether questions and documents are others than before."""

from datetime import datetime

import numpy as np
import pytest

from tasks.monitoring.drift import Drift, IndexDrift, drift, index_drift


def questions(count: int, about: int, seed: int, dimension: int = 8) -> np.ndarray:
    """Vectors of unit length around an axis."""
    drawn = np.random.default_rng(seed).normal(0, 0.3, (count, dimension))
    drawn[:, about] += 1
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def names(side: str, count: int) -> list[str]:
    return [f"{side}{number}" for number in range(count)]


def test_the_energy_coefficient_by_hand():
    """Two points apart by sqrt(2): all of it is between them."""
    found = drift(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), ["a"], ["b"])
    assert found == Drift(1.0, 1.0, 1, 1)
    same = drift(np.eye(2), np.eye(2), ["a", "b"], ["c", "d"])
    assert same.distance == pytest.approx(0.0) and same.p == 1.0


def test_another_subject_is_told_and_the_same_is_not():
    before = questions(120, 0, seed=1)
    other = drift(questions(40, 1, seed=2), before, names("n", 40), names("b", 120))
    assert other.p == 0.001 and other.distance > 0.3 and (other.now, other.before) == (40, 120)
    assert drift(questions(40, 0, seed=3), before, names("n", 40), names("b", 120)).p > 0.05


def test_a_new_part_of_the_questions_is_told():
    now = np.concatenate([questions(30, 0, seed=2), questions(20, 3, seed=5)])
    assert drift(now, questions(150, 0, seed=1), names("n", 50), names("b", 150)).p == 0.001


def test_one_talkative_conversation_is_no_drift():
    """Thirty questions of one person on another subject: as many of as many people would be one."""
    now, before = questions(30, 1, seed=2), questions(120, 0, seed=1)
    assert drift(now, before, ["one"] * 30, names("b", 120)).p > 0.005
    assert drift(now, before, names("n", 30), names("b", 120)).p == 0.001


def test_under_no_drift_p_values_are_even():
    p = [drift(questions(20, 0, seed), questions(40, 0, seed + 1000), names("n", 20), names("b", 40)).p for seed in range(60)]
    assert sum(value <= 0.1 for value in p) <= 11 and 0.35 < float(np.mean(p)) < 0.65


def test_what_became_of_documents():
    now = {"a.md": "1", "b.md": "2", "新規.md": "3"}
    since = {"a.md": datetime(2026, 11, 1), "b.md": datetime(2026, 11, 21), "新規.md": datetime(2026, 11, 29)}
    found = index_drift(now, {"a.md": "1", "b.md": "0", "gone.md": "9"}, since, {"b.md", "gone.md"}, datetime(2026, 12, 1))
    assert found == IndexDrift(3, added=1, removed=1, changed=1, cited=1, oldest_days=30.0, median_days=10.0)
