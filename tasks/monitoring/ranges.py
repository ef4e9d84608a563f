"""Whether a figure left its range: the median of those before it, give or take so many median absolute deviations.

That is Hampel's identifier (Hampel 1974, "The influence curve and its role in robust estimation"; Davies and Gather 1993, "The identification of
multiple outliers"). The MAD is scaled by 1.4826, by which it estimates the standard deviation of normal noise (Rousseeuw and Croux 1993,
"Alternatives to the median absolute deviation", section 1); unscaled, three of it are two standard deviations. Of eight points a median and a MAD
are themselves uncertain, and a MAD of zero would make an alert of any change: noise alone leaves such a range in 7 to 29 % of the weeks. So for an
alert the difference from the median must also be sure, by an interval made of those of both (Newcombe 1998, "Interval estimation for the difference
between independent proportions", method 10), at a level of 5 % over all the figures that are judged at once (Bonferroni).
`benchmarks/monitoring.py alarms` measures what remains.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

SCALE = 1.4826
ERROR = 0.05
# inside: of the range. above, below: an alert. uncertain: outside of the range, which may be noise; few_items, few_before: not judged.
Status = Literal["inside", "above", "below", "uncertain", "few_items", "few_before"]


@dataclass(frozen=True)
class Point:
    """A figure at one time, with its 95 % interval where it has one.

    Attributes:
        at: the Monday of a week (ISO 8601), or the id of a release.
        items: what it is of: answers, sentences, questions.
    """

    at: str
    value: float
    low: float | None
    high: float | None
    items: int


@dataclass(frozen=True)
class Rule:
    """When a figure is judged, and against what.

    Attributes:
        deviations: scaled MADs on either side of the median.
        history: of how many points before it, the last ones, the range is.
        least: how many there must be.
        items: what a point must be of to be judged, and to count for the range of others.
    """

    deviations: float
    history: int
    least: int
    items: int


@dataclass(frozen=True)
class Verdict:
    """What became of a figure; its range where there is one, `of` so many points."""

    status: Status
    median: float | None = None
    low: float | None = None
    high: float | None = None
    of: int = 0

    @property
    def is_alert(self) -> bool:
        return self.status in ("above", "below")


def judge(figures: Iterable[Sequence[Point]], rule: Rule) -> list[Verdict]:
    """The last point of each figure against those before it, all at once. Points are in the order of time, one at least in each figure."""
    figures = list(figures)
    found = [_in_range(points, rule) for points in figures]
    judged = sum(verdict.median is not None for verdict in found)
    width = NormalDist().inv_cdf(1 - ERROR / 2 / max(judged, 1)) / NormalDist().inv_cdf(0.975)
    return [
        replace(verdict, status="uncertain") if verdict.is_alert and not _is_sure(points, verdict, rule, width) else verdict
        for points, verdict in zip(figures, found, strict=True)
    ]


def _in_range(points: Sequence[Point], rule: Rule) -> Verdict:
    """Whether the last point is in the range of those before it."""
    *_, point = points
    before = [one.value for one in _counted(points, rule)]
    if point.items < rule.items:
        return Verdict("few_items", of=len(before))
    if len(before) < rule.least:
        return Verdict("few_before", of=len(before))
    median = statistics.median(before)
    reach = rule.deviations * SCALE * statistics.median(abs(value - median) for value in before)
    status: Status = "below" if point.value < median - reach else "above" if point.value > median + reach else "inside"
    return Verdict(status, median, median - reach, median + reach, len(before))


def _counted(points: Sequence[Point], rule: Rule) -> list[Point]:
    """The points before the last one that its range is of."""
    return [one for one in points[:-1] if one.items >= rule.items][-rule.history :]


def _is_sure(points: Sequence[Point], verdict: Verdict, rule: Rule, width: float) -> bool:
    """Whether the difference of the last point from the median is no noise. Of a figure without intervals nothing says how much of it is, and its range
    decides alone.

    Args:
        width: of the interval that it must keep from zero, in those of 95 %.
    """
    point, before, up = points[-1], _counted(points, rule), verdict.status == "above"
    own = _reach(point, up=not up)
    others = [_reach(one, up=up) for one in before]
    known = [reach for reach in others if reach is not None]
    if own is None or len(known) < len(others) or verdict.median is None:
        return True
    of_median = math.sqrt(math.pi / 2 / len(known)) * statistics.median(known)  # a median's deviation, of normal noise
    return abs(point.value - verdict.median) > width * math.hypot(own, of_median)


def _reach(point: Point, *, up: bool) -> float | None:
    """From a point to the upper or lower end of its interval."""
    end = point.high if up else point.low
    return None if end is None else abs(end - point.value)
