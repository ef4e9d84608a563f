"""Intervals."""

import pytest

from tasks.statistics import wilson_interval


def test_wilson_intervals():
    low, high = wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))
    assert all(wilson_interval(k, 10)[0] - 1e-9 <= k / 10 <= wilson_interval(k, 10)[1] + 1e-9 for k in range(11))
