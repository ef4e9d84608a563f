"""What a week of chats comes to: shares, unsupported sentences, seconds, each with a 95 % interval."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from tasks.monitoring.ranges import Point
from tasks.monitoring.weeks import week_of
from tasks.statistics import ratio_interval, wilson_interval

ALL = "all"  # every language together
RESAMPLES, FEWEST, DRAWS = 1000, 200, 4_000_000  # of a bootstrap, fewer where many answers would take much memory: so many draws at once
QUANTILES = {"seconds_p50": 0.5, "seconds_p95": 0.95}


@dataclass(frozen=True)
class Turn:
    """An answered question, as far as it is watched.

    Attributes:
        time: UTC, without a zone attached.
        reason: how it ended: answered, unsure, unanswered or refused.
        finish: why writing stopped: stop, length, timeout or stopped.
        rating: 1, -1, or 0 where nobody rated it.
        sentences: of the answer that were held against sources; `supported` so many of them.
        quoted: whether the answer is sentences of the documents.
        documents: the ones that it cites.
    """

    turn_id: str
    conversation_id: str
    time: datetime
    lang: str
    reason: str
    finish: str
    rating: int
    seconds: float | None
    sentences: int
    supported: int
    quoted: bool
    documents: tuple[str, ...]


SHARES: Mapping[str, Callable[[Turn], bool]] = {  # of all answers
    "liked": lambda turn: turn.rating > 0,
    "disliked": lambda turn: turn.rating < 0,
    "unanswered": lambda turn: turn.reason == "unanswered",
    "unsure": lambda turn: turn.reason == "unsure",
    "refused": lambda turn: turn.reason == "refused",
    "cut_off": lambda turn: turn.finish in ("length", "timeout"),
    "cited": lambda turn: bool(turn.documents),
}
UNSUPPORTED = "unsupported"  # share of the sentences that models wrote
# Which way is worse; of the others neither is.
WORSE = {
    "liked": "below",
    **dict.fromkeys(("disliked", "unanswered", "unsure", "refused", "cut_off", UNSUPPORTED, *QUANTILES), "above"),
}
FIGURES = (*SHARES, UNSUPPORTED, *QUANTILES)


def by_week(turns: Iterable[Turn], zone: str) -> dict[date, list[Turn]]:
    """The turns of each week in which there are any, weeks in order."""
    weeks = defaultdict[date, list[Turn]](list)
    for turn in turns:
        weeks[week_of(turn.time, zone)].append(turn)
    return dict(sorted(weeks.items()))


def series(weeks: Mapping[date, Sequence[Turn]]) -> dict[tuple[str, str], list[Point]]:
    """Each figure's points by (figure, language), week by week; a week in which it is of nothing has none. Languages are "all" and, of several, each."""
    found = defaultdict[tuple[str, str], list[Point]](list)
    langs = {turn.lang for turns in weeks.values() for turn in turns}
    for week, turns in weeks.items():
        for lang in (ALL, *sorted({turn.lang for turn in turns} if len(langs) > 1 else ())):
            own = [turn for turn in turns if lang in (ALL, turn.lang)]
            for name, point in figures_of(week.isoformat(), own).items():
                found[name, lang].append(point)
    return dict(found)


def figures_of(at: str, turns: Sequence[Turn]) -> dict[str, Point]:
    """The figures of some turns, one at least, by name; without those that are of nothing."""
    found = {}
    for name, counts in SHARES.items():
        count = sum(map(counts, turns))
        found[name] = Point(at, count / len(turns), *wilson_interval(count, len(turns)), len(turns))
    written = [turn for turn in turns if turn.sentences and not turn.quoted]
    if written:
        missing = [float(turn.sentences - turn.supported) for turn in written]
        resamples = min(RESAMPLES, max(FEWEST, DRAWS // len(written)))
        interval = ratio_interval(missing, [turn.sentences for turn in written], resamples)  # over answers: sentences of one are alike
        found[UNSUPPORTED] = Point(at, interval.value, interval.low, interval.high, len(written))
    seconds = sorted(turn.seconds for turn in turns if turn.seconds is not None)
    if seconds:
        found |= {name: quantile(at, seconds, share) for name, share in QUANTILES.items()}
    return found


def quantile(at: str, ordered: Sequence[float], share: float) -> Point:
    """A quantile of values in order, with the values whose ranks bound it in 95 % of samples (David and Nagaraja 2003, "Order statistics", 7.1; by the
    normal approximation of the binomial, ends being the smallest and the largest value)."""
    count = len(ordered)
    middle, half = count * share, 1.959964 * math.sqrt(count * share * (1 - share))
    rank = min(count, max(1, math.ceil(middle)))
    low, high = max(1, math.floor(middle - half) + 1), min(count, math.ceil(middle + half) + 1)
    return Point(at, ordered[rank - 1], ordered[min(low, rank) - 1], ordered[max(high, rank) - 1], count)
