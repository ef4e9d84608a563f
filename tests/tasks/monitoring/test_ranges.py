"""The rule of alerts: planted changes are told, ordinary weeks are not, and what cannot be judged says so."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.monitoring.ranges import Point, Rule, Verdict, judge
from tasks.statistics import wilson_interval

RULE = Rule(deviations=3, history=8, least=6, items=30)
USUAL = (0.09, 0.10, 0.11, 0.10, 0.12, 0.08, 0.10, 0.11)


def share(value: float, items: int = 200) -> Point:
    return Point("2026-11-23", value, *wilson_interval(round(value * items), items), items)


def points(*values: float, items: int = 200) -> list[Point]:
    return [share(value, items) for value in values]


def verdict(*values: float, items: int = 200, rule: Rule = RULE) -> Verdict:
    return judge([points(*values, items=items)], rule)[0]


def test_the_range_is_the_median_and_three_scaled_mads():
    found = verdict(*USUAL, 0.12)
    assert found.status == "inside" and found.of == 8
    assert (found.median, found.low, found.high) == pytest.approx((0.10, 0.10 - 3 * 1.4826 * 0.01, 0.10 + 3 * 1.4826 * 0.01))


@pytest.mark.parametrize(("value", "status"), [(0.30, "above"), (0.01, "below"), (0.144, "inside"), (0.15, "above")])
def test_three_times_the_abstentions_are_an_alert_and_an_ordinary_week_is_none(value, status):
    assert verdict(*USUAL, value).status == status


def test_only_the_last_weeks_count():
    assert verdict(*[0.5] * 20, *USUAL, 0.12) == verdict(*USUAL, 0.12)


def test_where_nothing_ever_differed_one_answer_is_no_alert_and_many_are():
    assert verdict(*[0.0] * 8, 0.005).status == "uncertain"
    assert verdict(*[0.0] * 8, 0.0) == Verdict("inside", 0.0, 0.0, 0.0, 8)
    assert verdict(*[0.0] * 8, 0.05).status == "above"


@pytest.mark.parametrize(("before", "items", "status"), [(5, 200, "few_before"), (6, 200, "above"), (8, 29, "few_items"), (8, 30, "above")])
def test_too_little_is_not_judged(before, items, status):
    history = points(*USUAL[:before])
    found = judge([[*history, share(0.5, items)]], RULE)[0]
    assert found.status == status and found.of == before and (found.median is None) == status.startswith("few")


def test_a_week_with_few_answers_makes_no_range():
    history = [*points(*USUAL[:5]), *points(*USUAL[5:], items=29)]
    assert judge([[*history, share(0.5)]], RULE)[0] == Verdict("few_before", of=5)


def test_one_figure_among_many_must_be_surer():
    together = judge([points(*USUAL, 0.15), *[points(*USUAL, 0.10) for _ in range(26)]], RULE)
    assert verdict(*USUAL, 0.15).status == "above" and {one.status for one in together} == {"uncertain", "inside"}
    not_judged = judge([points(*USUAL, 0.15), *[points(0.1) for _ in range(26)]], RULE)
    assert [one.status for one in not_judged] == ["above"] + ["few_before"] * 26


@pytest.mark.parametrize(("value", "status"), [(0.15, "above"), (0.144, "inside")])
@pytest.mark.parametrize("place", [0, -1])
def test_without_an_interval_the_range_decides(place, value, status):
    figure = points(*USUAL, value, items=30)  # of so few that an interval would leave it uncertain
    assert judge([figure], RULE)[0].status == ("uncertain" if status == "above" else status)
    figure[place] = replace(figure[place], low=None, high=None)
    found = judge([figure], RULE)[0]
    assert (found.status, found.median) == (status, 0.10)


def test_noise_alone_is_hardly_ever_an_alert():
    """Twenty-seven figures a week, of 100 answers each, for 200 weeks."""
    drawn = np.random.default_rng(0).binomial(100, 0.1, (200, 27, 9)) / 100
    found = [judge([points(*figure, items=100) for figure in week], RULE) for week in drawn]
    assert sum(any(one.is_alert for one in week) for week in found) == 6


def test_nothing_to_judge():
    assert judge([], RULE) == []
