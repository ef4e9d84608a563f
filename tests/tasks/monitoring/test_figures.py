"""What a week of chats comes to."""

import re
from datetime import date, datetime

import pytest

from tasks.errors import MigakiError
from tasks.monitoring.figures import Turn, by_week, figures_of, quantile, series
from tasks.monitoring.ranges import Point
from tasks.monitoring.settings import MonitorSettings
from tasks.monitoring.weeks import begin_of, week_of
from tasks.statistics import wilson_interval


def turn(number: int = 0, time: datetime = datetime(2026, 11, 24, 12), lang: str = "en", **said) -> Turn:
    known = {"reason": "answered", "finish": "stop", "rating": 0, "seconds": 1.0, "sentences": 2, "supported": 2, "quoted": False}
    return Turn(f"t{number}", f"c{number}", time, lang, **known | {"documents": ("a.md",)} | said)


@pytest.mark.parametrize(
    ("time", "zone", "monday"),
    [
        (datetime(2026, 11, 22, 14, 59), "Asia/Tokyo", date(2026, 11, 16)),
        (datetime(2026, 11, 22, 15, 0), "Asia/Tokyo", date(2026, 11, 23)),
        (datetime(2026, 11, 22, 23, 59), "UTC", date(2026, 11, 16)),
        (datetime(2026, 12, 31, 12, 0), "UTC", date(2026, 12, 28)),
    ],
)
def test_a_week_begins_on_monday_in_its_zone(time, zone, monday):
    assert week_of(time, zone) == monday
    assert begin_of(monday, zone) <= time < begin_of(date.fromordinal(monday.toordinal() + 7), zone)


@pytest.mark.parametrize("zone", ["Asia/Tokio", "../etc/passwd", "", "東京"])
def test_a_zone_that_there_is_not_is_refused(zone):
    # Prefect's own words, of a form, repeat the message and not the value.
    with pytest.raises(
        MigakiError, match=rf"monitor\.zone = .*{re.escape(repr(zone))} is no time zone; accepted is an IANA time zone such as Asia/Tokyo"
    ):
        MonitorSettings.build("monitor", {"zone": zone})


def test_shares_are_of_all_answers_with_wilsons_interval():
    turns = [
        turn(0, rating=1),
        turn(1, rating=-1, reason="unsure", quoted=True),
        turn(2, reason="unanswered", documents=()),
        turn(3, reason="refused", documents=(), sentences=0, supported=0),
        turn(4, finish="length"),
    ]
    found = figures_of("2026-11-23", turns)
    one_of_five = Point("2026-11-23", 0.2, *wilson_interval(1, 5), 5)
    assert {found[name] for name in ("liked", "disliked", "unanswered", "unsure", "refused", "cut_off")} == {one_of_five}
    assert found["cited"].value == 0.6 and found["unsupported"].items == 3  # neither what is quoted nor what has no sentences


def test_unsupported_sentences_are_a_share_of_sentences_over_answers():
    found = figures_of("", [turn(sentences=4, supported=1), turn(sentences=1, supported=1)])["unsupported"]
    assert (found.value, found.low, found.high, found.items) == (0.6, 0.0, 0.75, 2)


def test_a_quantile_is_bounded_by_values_of_ranks():
    ordered = [float(number) for number in range(1, 101)]
    assert quantile("w", ordered, 0.5) == Point("w", 50.0, 41.0, 61.0, 100)
    assert quantile("w", ordered, 0.95) == Point("w", 95.0, 91.0, 100.0, 100)
    assert quantile("w", [3.0], 0.95) == Point("w", 3.0, 3.0, 3.0, 1)


def test_what_was_never_measured_has_no_figure():
    assert {"seconds_p50", "unsupported"} & figures_of("", [turn(seconds=None, sentences=0, supported=0)]).keys() == set()


def test_series_are_by_figure_and_language_week_by_week():
    weeks = by_week([turn(0, datetime(2026, 11, 24), "ja"), turn(1, datetime(2026, 11, 10)), turn(2, datetime(2026, 11, 26))], "UTC")
    assert list(weeks) == [date(2026, 11, 9), date(2026, 11, 23)]
    found = series(weeks)
    assert [(point.at, point.items) for point in found["unanswered", "all"]] == [("2026-11-09", 1), ("2026-11-23", 2)]
    assert [point.at for point in found["unanswered", "ja"]] == ["2026-11-23"]
    assert series({}) == {}


def test_of_one_language_all_says_everything():
    found = series(by_week([turn(0), turn(1)], "UTC"))
    assert {lang for _, lang in found} == {"all"}
