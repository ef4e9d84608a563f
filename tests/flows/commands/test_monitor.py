"""What `migaki monitor` prints: alerts, drift and groups in words, and of strangers' questions just their text."""

import io

import pytest

from flows.commands import show
from flows.commands.monitor import monitor_table
from tasks.monitoring.drift import Drift, IndexDrift
from tasks.monitoring.ranges import Point, Verdict
from tasks.monitoring.shown import rows_of
from tasks.monitoring.watched import Series, Watched

STRANGE = "[red]駐車場[/red]は? \x1b[2J"
NOTHING = {
    "week": "2026-11-23",
    "zone": "Asia/Tokyo",
    "answers": 0,
    "rows": [],
    "series": [],
    "alerts": {},
    "drift": None,
    "index": None,
    "questions": None,
    "without": "there is no index yet",
    "page": "http://127.0.0.1:8400/monitor",
}


@pytest.fixture
def printed(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(show.console, "_file", out)
    monkeypatch.setattr(show.console, "_width", 200)
    return out.getvalue


def test_an_empty_home(printed):
    assert monitor_table(NOTHING) is NOTHING
    assert printed().splitlines() == [
        "nobody asked anything in the week of 2026-11-23 (Asia/Tokyo)",
        "nothing can be judged yet: that takes enough answers in the week, and weeks before it that had enough",
        "questions were neither compared nor grouped: there is no index yet",
        "page: http://127.0.0.1:8400/monitor (for admins, where `migaki serve` runs)",
    ]


def test_groups_drift_and_alerts_are_told(printed):
    index = IndexDrift(66, 1, 2, 3, 9, 40.2, 20.0)
    questions = {"since": "2026-11-02", "asked": 4, "withheld": 1, "groups": [{"lang": "ja", "asked": 3, "examples": [STRANGE]}]}
    report = NOTHING | {"answers": 60, "alerts": {"a": "it rose"}, "drift": vars(Drift(0.2, 0.001, 60, 400)), "index": vars(index)}
    monitor_table(report | {"questions": questions, "without": ""})
    said = printed()
    assert "ALERT: it rose" in said and "energy coefficient 0.200" in said and "60 against 400" in said
    assert "66 documents (1 new, 3 changed, 2 gone since the week began), 9 cited" in said and "20 days old or older, the oldest 40" in said
    assert "[red]駐車場[/red]は?" in said and "\x1b[2J" not in said and "1 more may speak of somebody's health" in said
    monitor_table(report | {"questions": {"since": "2026-11-02", "asked": 0, "withheld": 0, "groups": []}})
    assert "since 2026-11-02 no question went without documents" in printed()


def test_rows_are_of_the_judged_week_and_release_alerts_first():
    def series(kind: str, figure: str, at: str, verdict: Verdict) -> Series:
        return Series(kind, figure, "all", (Point("x", 0.1, None, None, 30), Point(at, 0.25, 0.2, 0.3, 40)), verdict)

    found = (
        series("week", "liked", "2026-11-23", Verdict("few_before")),
        series("week", "unanswered", "2026-11-23", Verdict("above", 0.1, 0.05, 0.15, 8)),
        series("week", "refused", "2026-11-16", Verdict("few_items")),
        series("release", "chat.told", "abcdef0123456789", Verdict("uncertain", 0.2, 0.19, 0.21, 8)),
    )
    this = Watched("2026-11-30T00:00:00", "UTC", "2026-11-23", "abcdef0123456789", 40, found, None, False, None, None)
    assert rows_of(this) == [
        ["unanswered", "all", "0.250", "0.200 to 0.300", "40", "0.050 to 0.150", "ABOVE its range"],
        ["liked", "all", "0.250", "0.200 to 0.300", "40", "", "too few before it"],
        ["chat.told (release abcdef01)", "all", "0.250", "0.200 to 0.300", "40", "0.190 to 0.210", "outside, which may be noise"],
    ]
