"""What is watched as rows of a table."""

from tasks.monitoring.ranges import Point, Verdict
from tasks.monitoring.watched import Series, Watched

COLUMNS = ("figure", "language", "value", "95 % interval", "of", "range", "")
STATUS = {
    "inside": "in its range",
    "above": "ABOVE its range",
    "below": "BELOW its range",
    "uncertain": "outside, which may be noise",
    "few_items": "too few to judge",
    "few_before": "too few before it",
}


def rows_of(found: Watched) -> list[list[str]]:
    """The judged week's figures, then the last release's; a figure that has no value there is left out. Alerts come first."""
    rows = [(one, one.points[-1]) for one in found.series if one.points and one.points[-1].at in (found.week, found.release)]
    return [_row(one, point) for one, point in sorted(rows, key=lambda row: not row[0].verdict.is_alert)]


def _row(one: Series, point: Point) -> list[str]:
    interval = "" if point.low is None or point.high is None else f"{point.low:.3f} to {point.high:.3f}"
    name = one.figure if one.kind == "week" else f"{one.figure} (release {point.at[:8]})"
    return [name, one.lang, f"{point.value:.3f}", interval, str(point.items), range_of(one.verdict), STATUS[one.verdict.status]]


def range_of(verdict: Verdict) -> str:
    return "" if verdict.low is None or verdict.high is None else f"{verdict.low:.3f} to {verdict.high:.3f}"
