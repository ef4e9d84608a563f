"""A chatbot over ten weeks: the week with three times the abstentions is told of, and nothing else is."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from tasks.monitoring.drift import Drift
from tasks.monitoring.figures import Turn
from tasks.monitoring.ranges import Point, Rule, Verdict
from tasks.monitoring.watched import Series, Watched, has_drifted, over_releases, weekly, words_of

RULE = Rule(3.0, 8, 6, 30)
NOW = datetime(2026, 11, 30, 9)  # a Monday
WEEKS = [datetime(2026, 11, 25, 12) - timedelta(weeks=back) for back in range(8, -1, -1)]


def chats(*unanswered: float, count: int = 120, until: int = 9) -> list[Turn]:
    """Answers of each week, every other in Japanese, of which such a share has no documents."""
    rng, turns = np.random.default_rng(0), []
    for week, share in zip(WEEKS[-len(unanswered) :][:until], unanswered, strict=False):
        for number in range(count):
            ended = "unanswered" if number < round(share * count) else "answered"
            lang, name = ("ja", "en")[number % 2], f"{week:%m%d}-{number}"
            turns.append(Turn(name, name, week, lang, ended, "stop", 0, float(rng.lognormal(0, 0.5)), 2, 2, False, ("a.md",)))
    return turns


def alerts(found: list[Series]) -> list[tuple[str, str, str]]:
    return [(one.figure, one.lang, one.verdict.status) for one in found if one.verdict.is_alert]


USUAL = (0.10, 0.12, 0.08, 0.11, 0.10, 0.09, 0.10, 0.12)


def test_a_week_with_three_times_the_abstentions_is_an_alert_of_that_figure_alone():
    found = weekly(chats(*USUAL, 0.33), NOW, "UTC", RULE)
    assert {(figure, status) for figure, _, status in alerts(found)} == {("unanswered", "above")}
    assert [lang for _, lang, _ in alerts(found)] == ["all", "en", "ja"]
    worst = next(one for one in found if (one.figure, one.lang) == ("unanswered", "all"))
    assert worst.is_worse and [point.at for point in worst.points][-2:] == ["2026-11-16", "2026-11-23"]
    assert words_of(worst) == (
        "unanswered (all) is 0.333 in the week of 2026-11-23, above its range of 0.063 to 0.137 (median 0.100 of 8, worse)"
    )


def test_an_ordinary_week_is_none_and_the_running_week_is_not_judged():
    assert alerts(weekly(chats(*USUAL, 0.13), NOW, "UTC", RULE)) == []
    found = weekly(chats(*USUAL, 0.9), NOW - timedelta(days=3), "UTC", RULE)
    shown = next(one for one in found if (one.figure, one.lang) == ("unanswered", "all"))
    assert alerts(found) == [] and shown.so_far.value == pytest.approx(0.9) and shown.points[-1].at == "2026-11-16"


def test_a_week_without_answers_is_not_judged_by_the_one_before_it():
    found = weekly(chats(*USUAL, 0.9), NOW + timedelta(weeks=1), "UTC", RULE)
    assert alerts(found) == [] and {one.verdict.status for one in found} == {"few_items"}


def test_fewer_than_thirty_answers_and_no_answers():
    assert {one.verdict.status for one in weekly(chats(*USUAL, 0.5, count=29), NOW, "UTC", RULE)} == {"few_items"}
    assert weekly([], NOW, "UTC", RULE) == []


def released(*values: float, figure: str = "chat.correct", items: int = 60) -> list[tuple[str, str, Point]]:
    return [(figure, "ja", Point(f"release-{number}", value, value - 0.1, value + 0.1, items)) for number, value in enumerate(values)]


def test_the_last_release_is_judged_against_those_before():
    found = over_releases(released(*[0.70, 0.71, 0.69, 0.70, 0.72, 0.70, 0.71, 0.69], 0.35), RULE, 26)
    assert alerts(found) == [("chat.correct", "ja", "below")]
    assert words_of(found[0]).startswith("chat.correct (ja) is 0.350 in the release release-8, below its range")
    assert over_releases([], RULE, 26) == []


def test_a_figure_that_the_last_release_lacks_is_not_judged():
    earlier = released(0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.1)
    found = over_releases([*earlier, ("chat.told", "ja", Point("release-9", 0.5, 0.4, 0.6, 60))], RULE, 26)
    assert [(one.figure, one.verdict) for one in found] == [("chat.correct", Verdict("few_items")), ("chat.told", Verdict("few_before"))]


@pytest.mark.parametrize(
    ("found", "conversations", "drifted"),
    [
        (Drift(0.2, 0.001, 40, 300), 30, True),
        (Drift(0.2, 0.02, 40, 300), 30, False),
        (Drift(0.2, 0.001, 29, 300), 20, False),
        (Drift(0.2, 0.001, 40, 20), 30, False),
        (Drift(0.2, 0.001, 40, 300), 9, False),
        (None, 30, False),
    ],
)
def test_questions_have_drifted_where_enough_of_them_say_so(found, conversations, drifted):
    assert has_drifted(found, conversations, 0.01, 30) is drifted


def test_drift_is_told_in_words():
    found = Watched("2026-11-30T00:00", "UTC", "2026-11-23", "", 40, (), Drift(0.2, 0.001, 40, 300), True, None, None)
    assert found.alerts == {
        "week.questions.all.2026-11-23.drifted": "questions of the week of 2026-11-23 are others than before: "
        "energy coefficient 0.200, p = 0.001, 40 questions against 300"
    }
