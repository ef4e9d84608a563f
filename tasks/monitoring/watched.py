"""What is watched, put together: the last whole week and the last release against those before, drift, and what is missing in the documents."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from tasks.monitoring.drift import Drift, IndexDrift
from tasks.monitoring.figures import FIGURES, QUANTILES, WORSE, Turn, by_week, series
from tasks.monitoring.grouping import Group
from tasks.monitoring.ranges import Point, Rule, Verdict, judge
from tasks.monitoring.weeks import WEEK, week_of

FEWEST_CONVERSATIONS = 10  # of a week whose questions are compared with others: whole conversations are permuted
Kind = Literal["week", "release"]


@dataclass(frozen=True)
class Series:
    """A figure over time, and what became of its last point.

    Attributes:
        points: whole weeks, or releases, in order.
        so_far: of the week that has not ended.
    """

    kind: Kind
    figure: str
    lang: str
    points: tuple[Point, ...]
    verdict: Verdict
    so_far: Point | None = None

    @property
    def is_worse(self) -> bool:
        """Whether an alert is of the bad side; where no side is known as the bad one, of either."""
        return self.verdict.is_alert and WORSE.get(self.figure, self.verdict.status) == self.verdict.status


@dataclass(frozen=True)
class Questions:
    """Questions that no document answers, in groups. `withheld` are left out of them: they quote what not everybody may see, or may speak of somebody's
    health."""

    since: str
    asked: int
    withheld: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Watched:
    """All of it.

    Attributes:
        made: when, UTC, ISO 8601.
        week: the Monday of the week that is judged.
        release: the last one that was decided on, "" before the first.
        answers: of that week.
        without: why questions were not compared and grouped, "" where they were.
    """

    made: str
    zone: str
    week: str
    release: str
    answers: int
    series: tuple[Series, ...]
    drift: Drift | None
    drifted: bool
    index: IndexDrift | None
    questions: Questions | None
    without: str = ""

    @property
    def alerts(self) -> dict[str, str]:
        """What left its range, in words, by what it is: the same alert has the same name whenever it is found."""
        told = {
            f"{one.kind}.{one.figure}.{one.lang}.{one.points[-1].at}.{one.verdict.status}": words_of(one)
            for one in self.series
            if one.verdict.is_alert
        }
        if self.drifted and self.drift:
            told[f"week.questions.all.{self.week}.drifted"] = (
                f"questions of the week of {self.week} are others than before: energy coefficient {self.drift.distance:.3f}, "
                f"p = {self.drift.p:.3f}, {self.drift.now} questions against {self.drift.before}"
            )
        return told


def words_of(one: Series) -> str:
    """An alert in words."""
    *_, point = one.points
    where = f"in the week of {point.at}" if one.kind == "week" else f"in the release {point.at[:12]}"
    found = one.verdict
    return (
        f"{one.figure} ({one.lang}) is {point.value:.3f} {where}, {found.status} its range of {found.low:.3f} to {found.high:.3f} "
        f"(median {found.median:.3f} of {found.of}{', worse' if one.is_worse and one.figure in WORSE else ''})"
    )


def last_whole_week(now: datetime, zone: str) -> date:
    """The Monday of the last week that has ended."""
    return week_of(now, zone) - WEEK


def weekly(turns: Iterable[Turn], now: datetime, zone: str, rule: Rule) -> list[Series]:
    """Every figure week by week, in the order of figures; the last whole week is judged."""
    last = last_whole_week(now, zone).isoformat()
    order = {name: place for place, name in enumerate(FIGURES)}
    found = []
    for (figure, lang), points in sorted(series(by_week(turns, zone)).items(), key=lambda item: (order[item[0][0]], item[0][1])):
        whole = tuple(point for point in points if point.at <= last)
        so_far = next((point for point in points if point.at > last), None)
        found.append(Series("week", figure, lang, whole, Verdict("few_items"), so_far))
    return [replace(one, verdict=_possible(one)) for one in _judged(found, last, rule)]


def _possible(one: Series) -> Verdict:
    """A verdict whose range has nothing that the figure cannot be: no share is below 0 or above 1, no time below 0."""
    if one.verdict.low is None or one.verdict.high is None:
        return one.verdict
    return replace(
        one.verdict, low=max(one.verdict.low, 0.0), high=one.verdict.high if one.figure in QUANTILES else min(one.verdict.high, 1.0)
    )


def over_releases(figures: Iterable[tuple[str, str, Point]], rule: Rule, shown: int) -> list[Series]:
    """Every figure (name, language, its point of a release) release by release, in order of name; the last release is judged."""
    points, releases = defaultdict[tuple[str, str], list[Point]](list), dict[str, None]()
    for name, lang, point in figures:
        points[name, lang].append(point)
        releases[point.at] = None
    found = [Series("release", name, lang, tuple(own[-shown:]), Verdict("few_items")) for (name, lang), own in sorted(points.items())]
    return _judged(found, list(releases)[-1], rule) if releases else []


def _judged(found: Sequence[Series], last: str, rule: Rule) -> list[Series]:
    """With what became of those that have a point at the last time; the others are of nothing then."""
    there = [one for one in found if one.points and one.points[-1].at == last]
    verdicts = dict(zip(map(id, there), judge([one.points for one in there], rule), strict=True))
    return [replace(one, verdict=verdicts.get(id(one), one.verdict)) for one in found]


def has_drifted(found: Drift | None, conversations: int, level: float, least: int) -> bool:
    """Whether a week's questions are other ones; never of too few questions or conversations."""
    return found is not None and min(found.now, found.before) >= least and conversations >= FEWEST_CONVERSATIONS and found.p < level
