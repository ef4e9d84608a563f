"""Utility of outcomes and its paired difference, by hand and by simulation."""

import numpy as np
import pytest

from tasks.asking.utility import LEFT_OUT, compare, item_utility, questions_of, utility
from tasks.evaluation.chat_figures import utility_figures
from tests.helpers.chat_rows import asked, questions
from tests.helpers.planted_chats import gate_rows


@pytest.mark.parametrize(
    ("row", "utility"),
    [
        (asked("m", "a", right=True), 1.0),
        (asked("m", "a", right=False), -3.0),
        (asked("m", "a", correct=False, wrong=False, accepted=True), 0.0),  # too long, or with an unticked sentence
        (asked("m", "a", "unsure", right=True), 0.5),
        (asked("m", "a", "unsure", right=False), -1.5),
        (asked("m", "a", "unanswered", right=False), 0.0),
        (asked("m", "a", "refused", right=False), 0.0),
        (asked("m", "a", "answered", "left_out"), -3.0),
        (asked("m", "a", "unsure", "left_out", accepted=True), -1.5),
        (asked("m", "a", "unanswered", "left_out"), 0.0),
    ],
)
def test_what_an_outcome_is_worth(row, utility):
    assert item_utility(row, cost_wrong=3.0) == utility


def test_the_difference_is_that_of_the_same_items_with_languages_equal():
    base = questions("base", right=10, unanswered=10)
    better = questions("release", right=15, unanswered=5)
    found = compare([*base, *better, asked("release", "alone", right=True)], "release", "base", 1.0)
    assert found.value == pytest.approx((1 - LEFT_OUT) * 5 / 20) and (found.questions, found.documents) == (20, 20)
    assert found.low < found.value < found.high and found.languages == {"en": found.value}
    some = [asked("release", f"j{i}", right=True, lang="ja") for i in range(4)] + [
        asked("base", f"j{i}", "unanswered", right=False, lang="ja") for i in range(4)
    ]
    both = compare([*base, *better, *some], "release", "base", 1.0)
    assert both.languages == {"en": found.value, "ja": pytest.approx(1.0)}
    cells = {"answerable": (5 / 20 + 1) / 2, "left_out": 0.0}  # 0.5 of each language; no Japanese question was asked without its document
    assert both.value == pytest.approx((0.7 * cells["answerable"]) / (0.7 + 0.15))


def test_what_is_not_judged_or_not_asked_of_both_counts_for_nothing():
    rows = [asked("release", "a"), asked("base", "a"), asked("release", "a", suite="left_out"), asked("base", "b", right=True)]
    assert compare(rows, "release", "base", 1.0) is None and questions_of(rows, "release") == 0 and questions_of(rows, "base") == 1


def test_utility_of_each_and_of_pairs_are_figures_by_language():
    rows = [*(row | {"lang": "ja"} for row in questions("base", 10, 10)), *(row | {"lang": "ja"} for row in questions("release", 12, 8))]
    rows += [asked(model, f"e{i}", right=True) for model in ("base", "release") for i in range(5)]
    assert utility(rows, "champion", 1.0) is None
    figures = {
        (row["model"], row["lang"]): row
        for row in utility_figures(rows, ["base", "release"], [("release", "base"), ("release", "champion")], 2.0)
    }
    assert set(figures) == {(model, lang) for model in ("base", "release", "release - base") for lang in ("all", "en", "ja")}
    ja = figures["release", "ja"]
    assert ja["value"] == pytest.approx((1 - LEFT_OUT) * (12 - 2 * 8) / 20) and ja["low"] < ja["value"] < ja["high"] and ja["items"] == 20
    both = compare(rows, "release", "base", 2.0)
    assert figures["release - base", "all"]["value"] == both.value and figures["release - base", "all"]["low"] == both.low


def test_questions_about_one_document_stand_or_fall_together():
    rows = lambda document: [
        asked(model, f"q{i}", right=model == "release" or i % 4 != 0, document=document(i))
        for model in ("release", "base")
        for i in range(40)
    ]
    own, shared = (compare(rows(document), "release", "base", 1.0) for document in (str, lambda i: str(i % 4)))
    assert own.value == shared.value and own.low > 0 > shared.low and (own.documents, shared.documents) == (40, 4)


def test_the_smallest_difference_and_the_questions_that_the_margin_needs():
    few = compare(questions("base", 10, 10) + questions("release", 12, 8), "release", "base", 1.0)
    many = compare(questions("base", 90, 90) + questions("release", 108, 72), "release", "base", 1.0)
    assert few.smallest / many.smallest == pytest.approx(3, rel=0.15)
    assert few.needed(few.smallest) == 20 and few.needed(few.smallest / 2) == 80 and few.needed(0.0) is None
    same = compare(questions("base", 10, 10) + questions("release", 10, 10), "release", "base", 1.0)
    assert same.value == 0.0 and same.low < 0 < same.high and same.smallest > 0.05  # nothing differs: not known to the last digit


@pytest.mark.parametrize(("documents", "english", "anew"), [(20, None, 0.5), (20, 0.75, 0.5), (4, 0.5, 1.0)])
def test_a_release_against_itself_is_not_called_better(documents, english, anew):
    rng = np.random.default_rng(3)
    found = [compare(gate_rows(rng, documents, english, anew), "release", "champion", 1.0) for _ in range(60)]
    assert sum(one.low > 0 for one in found) <= 6  # at 5 %, more than 6 of 60 come of chance once in 40


def test_a_release_that_is_right_more_often_is_called_better():
    rng = np.random.default_rng(3)
    found = [compare(gate_rows(rng, 20, 0.75, 0.2, better=0.8), "release", "champion", 1.0) for _ in range(20)]
    assert sum(one.low > 0 for one in found) >= 16
