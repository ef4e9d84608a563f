"""Which decisions wait for a person, and which conversations the person is shown."""

from dataclasses import replace
from datetime import datetime

import pytest

from tasks.evaluation.approval import for_a_person, side_by_side
from tasks.evaluation.facts import ChatTurn, Facts
from tasks.evaluation.promotion import BY_HAND, Decision
from tasks.evaluation.report import build_report
from tasks.evaluation.settings import PromoteSettings

UNTIL = datetime(2026, 12, 14, 3, 0)
BETTER = Decision("promote", "better: utility", difference=0.1, low=0.02, high=0.2)
AS_GOOD = Decision("promote", "as useful, within a margin of 0.08", difference=0.0, low=-0.05, high=0.06)
UNDECIDED = Decision("inconclusive", f"the interval holds zero: utility; {BY_HAND}", difference=0.0, low=-0.2, high=0.2)
UNMEASURED = Decision("inconclusive", f"too few questions; {BY_HAND}")
WORSE = Decision("keep", "worse: utility", difference=-0.2, low=-0.3, high=-0.1)
GUARDED = Decision("keep", "a guard speaks against it: it is slow", difference=0.0, low=-0.1, high=0.1)
UNCHANGED = Decision("unchanged", "keep: unchanged")


@pytest.mark.parametrize(
    ("approval", "wait"),
    [("never", []), ("if_inconclusive", [AS_GOOD, UNDECIDED, UNMEASURED]), ("always", [BETTER, AS_GOOD, UNDECIDED, UNMEASURED])],
)
def test_a_person_decides_on_what_nothing_speaks_against(approval, wait):
    for decision in (BETTER, AS_GOOD, UNDECIDED, UNMEASURED, WORSE, GUARDED, UNCHANGED):
        found = for_a_person(decision, PromoteSettings(approval=approval), UNTIL)
        if decision not in wait:
            assert found == decision
            continue
        assert replace(found, decision=decision.decision, reason=decision.reason, would=None) == decision
        assert (found.decision, found.would) == ("pending", decision.decision) and "--to ID" not in found.reason
        assert f"(promote.approval = {approval}) until 2026-12-14 03:00 UTC" in found.reason
        assert decision.reason.removesuffix(f"; {BY_HAND}") in found.reason


def turn(model, item, lang="en", correct=None, wrong=None, answer="same", **facts):
    said = {"suite": "answerable", "prompt": f"{item}?", "reference": "a", "outcome": "answered", "right_source": None, "refused": False}
    return ChatTurn(
        model=model, item_id=item, lang=lang, answer=answer, correct=correct, wrong=wrong, confidence=None, sources=(), **said | facts
    )


def both(item, before, after, lang="en", **facts):
    """Two turns, each right (1), wrong (-1) or neither (0)."""
    return [
        turn(role, item, lang, worth == 1, worth == -1, **{"answer": f"{role} {worth}"} | facts)
        for role, worth in (("champion", before), ("release", after))
    ]


def test_what_changed_is_shown_first_and_languages_in_turn():
    turns = [
        *both("en0", 0, 0, answer="alike"),
        *both("en1", 0, 0),
        *both("en2", 0, 1),
        *both("en3", 0, 1),
        *both("en4", 1, -1),
        *both("ja1", 0, 0, "ja"),
        *both("ja2", 1, 0, "ja"),
        turn("base", "en9"),
        turn("release", "en9"),
    ]
    shown = side_by_side(turns, "champion")
    assert [one.question for one in shown] == ["en4?", "ja2?", "en2?", "ja1?", "en3?", "en1?", "en0?"]
    assert (shown[0].before.verdict, shown[0].after.verdict, shown[1].after.verdict) == ("right", "wrong", "answered")
    assert (shown[0].before.answer, shown[0].after.answer) == ("champion 1", "release -1")
    assert [one.question for one in side_by_side(turns, "champion", 2)] == ["en4?", "ja2?"]
    assert [one.question for one in side_by_side(turns, "base")] == ["en9?"]


def test_the_report_shows_what_a_person_needs_and_takes_text_as_text():
    turns = both("<b>熱い</b>?", 0, 1, "ja", answer="<script>alert(1)</script>")
    facts = Facts("r", datetime(2026, 1, 1), "quick", "pending", "a person decides", turns=turns, decision_id="0123456789ab")
    page = build_report(facts)
    assert "migaki promote --approve 01234567 --why TEXT" in page and "&lt;b&gt;熱い&lt;/b&gt;" in page
    assert "&lt;script&gt;alert(1)" in page and "<script>" not in page
    assert "A person decides" not in build_report(replace(facts, decision="keep"))
