"""Figures over time as SVG. They hold no words but names of languages, so that whatever shows them says the rest in its own."""

from collections.abc import Iterable
from datetime import date

from tasks.monitoring.watched import Kind, Series
from tasks.monitoring.weeks import WEEK
from tasks.pages.charts import trend

SHOWN = 6  # characters of a release's id


def trends(found: Iterable[Series]) -> dict[str, str]:
    """An SVG of each figure by `KIND.FIGURE`, its languages as lines, the first one's range shaded, alerts marked; none of a figure that has one point."""
    figures = dict[tuple[Kind, str], list[Series]]()
    for one in found:
        figures.setdefault((one.kind, one.figure), []).append(one)
    return {f"{kind}.{name}": _chart(own) for (kind, name), own in figures.items() if max(len(one.points) for one in own) > 1}


def _chart(figure: list[Series]) -> str:
    """Of several languages "all" stands first; of one language it is the same and left out."""
    langs = {one.lang for one in figure} - {"all"}
    figure = [one for one in figure if one.points and (one.lang == "all" or len(langs) > 1)] or [one for one in figure if one.points]
    times = (_weeks if figure[0].kind == "week" else _releases)(figure)
    places = {at: place for place, at in enumerate(times)}
    lines = {one.lang: [(places[point.at], point.value, point.low, point.high) for point in one.points] for one in figure}
    verdict = figure[0].verdict
    return trend(
        [at[5:] if figure[0].kind == "week" else at[:SHOWN] for at in times],
        lines,
        None if verdict.low is None or verdict.high is None else (verdict.low, verdict.high),
        {one.lang for one in figure if one.verdict.is_alert},
    )


def _weeks(figure: list[Series]) -> list[str]:
    """From the first to the last, those without answers too."""
    named = [date.fromisoformat(point.at) for one in figure for point in one.points]
    return [(min(named) + place * WEEK).isoformat() for place in range((max(named) - min(named)) // WEEK + 1)]


def _releases(figure: list[Series]) -> list[str]:
    """In their order: that of the series that has most of them, and after it what others have beside."""
    ordered = dict[str, None]()
    for one in sorted(figure, key=lambda one: -len(one.points)):
        ordered |= dict.fromkeys(point.at for point in one.points)
    return list(ordered)
