"""What is watched of a home: planted weeks of chats, an index of a few documents, and what of them is kept and shown."""

import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from flows.running import watching
from flows.running.events import MONITOR_ALERT
from flows.running.watching import keep_watched, read_watched, watch
from storage import chats
from storage.audit import Who
from storage.catalog import Catalog
from tasks.monitoring.settings import MonitorSettings
from tests.helpers.indexes import Characters
from tests.helpers.watched_chats import KNOWN, MISSING, USUAL, plant_weeks

NOW = datetime(2026, 11, 30, 9)  # a Monday
LAST = datetime(2026, 11, 25, 12)
SECRET = "The vault of the garden is opened with four turns of the small brass key that hangs behind the stove in the hall."
MEANING = SimpleNamespace(embedder=Characters(), companions={})


@pytest.fixture
def told(monkeypatch):
    """Events, as (event, kind, id, facts)."""
    events = []
    monkeypatch.setattr(watching, "emit", lambda home, *event: events.append(event))
    return events


def found(home, meaning=MEANING, now=NOW, **settings):
    return watch(home, MonitorSettings(**settings), meaning, "" if meaning else "there is no index yet", now)


def test_a_week_with_three_times_the_abstentions_is_told_of_once(home, told):
    plant_weeks(home, LAST, [*USUAL, 0.35])
    this = found(home)
    assert {name.split(".")[1] for name in this.alerts} == {"unanswered", "cited"} and this.answers == 60
    assert keep_watched(home, this, {}, "run") == list(this.alerts.values())
    assert keep_watched(home, found(home), {}, "run2") == []
    ((event, kind, id, facts),) = told
    assert (event, kind, id, facts["week"]) == (MONITOR_ALERT, "monitor", "2026-11-23", "2026-11-23")
    assert facts["alerts"] == list(this.alerts.values()) and facts["reason"] == "; ".join(facts["alerts"])
    kept = {row["name"]: row["value"] for row in Catalog.of(home).query("SELECT name, value FROM metrics WHERE run_id = 'run'")}
    assert kept["monitor.unanswered.ja"] == pytest.approx(1 / 3, abs=0.05) and kept["monitor.alerts"] == len(this.alerts)


def test_an_ordinary_week_is_told_nobody(home, told):
    plant_weeks(home, LAST, [*USUAL, 0.11])
    this = found(home)
    assert this.alerts == {} and keep_watched(home, this, {}, "run") == [] and told == []
    assert this.drift.p > 0.01 and (this.drift.now, this.drift.before) == (60, 400)


def test_a_home_in_which_nobody_asked(home, told):
    this = found(home, None)
    assert (this.answers, this.series, this.drift, this.index, this.questions, this.release) == (0, (), None, None, None, "")
    assert read_watched(home) is None
    keep_watched(home, this, {}, "run")
    assert read_watched(home)["without"] == "there is no index yet" and found(home).questions.asked == 0


def test_few_answers_are_too_few_to_judge(home):
    plant_weeks(home, LAST, [*USUAL, 0.9], count=20)
    this = found(home)
    assert this.alerts == {} and {one.verdict.status for one in this.series} == {"few_items"}


def test_a_week_is_one_of_the_zone(home):
    plant_weeks(home, datetime(2026, 11, 29, 16), [0.5])  # Monday in Tokyo
    assert (found(home).answers, found(home, zone="Asia/Tokyo").answers) == (60, 0)


def test_questions_without_documents_are_grouped_and_gone_with_their_conversation(home):
    plant_weeks(home, LAST, [0.1, 0.1])
    keep_watched(home, found(home), {"week.unanswered": "<svg/>"}, "run")
    shown = read_watched(home)
    assert shown["questions"]["groups"] == [
        {"lang": lang, "asked": 6, "examples": [text]} for lang, text in zip(("en", "ja"), MISSING, strict=True)
    ]
    text = (home.reports / watching.KEPT).read_text(encoding="utf-8")
    assert not any(question in text for question in (*MISSING, *KNOWN)) and json.loads(text)["charts"] == {"week.unanswered": "<svg/>"}
    for back in (0, 1):
        for number in (1, 3, 5):
            chats.delete_conversation(home, f"c-w{back}-{number}", "ann", Who("ann", "page"))
    assert [one["lang"] for one in read_watched(home)["questions"]["groups"]] == ["en"]


def test_only_the_last_weeks_are_grouped(home):
    plant_weeks(home, LAST, [0.5, 0.0, 0.0, 0.0, 0.1])
    assert found(home).questions.asked == 6 and found(home, grouped_weeks=5).questions.asked == 36


def test_what_is_private_is_masked_or_withheld(served):
    (served.docs / "vault.md").write_text(f"---\nallowed: [hr]\n---\n{SECRET}", encoding="utf-8")
    served.serve()
    asked = ["Call me at 03-1234-5678 about parking?", "うつ病の診断書はどこに出しますか?", SECRET]
    plant_weeks(served.home, LAST, [0.1], missing=asked)
    this = found(served.home)
    assert (this.questions.asked, this.questions.withheld) == (6, 4)
    keep_watched(served.home, this, {}, "run")
    shown = json.dumps(read_watched(served.home), ensure_ascii=False)
    assert "about parking" in shown and "1234" not in shown and "うつ病" not in shown and "vault" not in shown


def test_documents_that_came_changed_and_went(served):
    former = served.serve()
    plant_weeks(served.home, LAST, [0.0, 0.0])
    with Catalog.of(served.home).write() as connection:
        connection.execute("UPDATE messages SET index_id = ? WHERE role = 'assistant'", [former.id])
    (served.docs / "cat.md").write_text("A cat sleeps in the hall.", encoding="utf-8")
    (served.docs / "neko.txt").unlink()
    (served.docs / "新規.md").write_text("駐車場は北側です。", encoding="utf-8")
    served.serve()
    index = found(served.home).index
    assert (index.documents, index.added, index.removed, index.changed, index.cited) == (2, 1, 1, 1, 0)
    assert index.oldest_days == pytest.approx((NOW - datetime(2026, 1, 1)) / timedelta(days=1))
