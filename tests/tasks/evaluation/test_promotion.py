"""Decisions and their reasons, on planted figures and rows."""

import re

import pytest

from tasks.errors import MigakiError
from tasks.evaluation.promotion import LOSS, UTILITY, Evidence, decide
from tasks.evaluation.settings import PromoteSettings
from tasks.evaluation.summary import figure
from tests.helpers.chat_rows import asked, questions

BASE = questions("base", right=20, unanswered=20)
SAME, BETTER = questions("release", right=20, unanswered=20), questions("release", right=36, unanswered=4)
WORSE = questions("release", right=4, wrong=20, unanswered=16, told=0.5)


def figures(loss=None, **guards):
    """Figures of both models; `loss` is the interval of the difference in answer loss, a guard's figures those of release and base."""
    rows = [
        {"model": "release - base", "metric": LOSS, "lang": "all", "value": sum(loss) / 2, "low": loss[0], "high": loss[1], "items": 50}
    ]
    for metric, (new, old) in guards.items():
        rows += [figure("release", metric, "all", new), figure("base", metric, "all", old)]
    return rows


def both(suite, release, base, **facts):
    """Rows of a suite: of each item the facts of the release, and those of the base."""
    pairs = (("release", release), ("base", base))
    return [asked(model, f"{suite} {i}", suite=suite, **one, **facts) for model, all_ in pairs for i, one in enumerate(all_)]


BETTER_LOSS, WORSE_LOSS, NO_LOSS = (-0.3, -0.1), (0.1, 0.3), (-0.1, 0.1)


@pytest.mark.parametrize(
    ("rows", "loss", "decision", "words"),
    [
        (
            BETTER,
            WORSE_LOSS,
            "promote",
            r"better: utility \+0\.280 against the base model \(95 % interval \+0\..*; en \+0\.280; 40 questions about 40 documents",
        ),
        (WORSE, BETTER_LOSS, "keep", r"worse: utility -0\."),
        (SAME, BETTER_LOSS, "promote", r"as useful, within a margin of 0\.08, and its answer loss per character -0\.200"),
        (SAME, NO_LOSS, "inconclusive", r"the interval holds zero: .*`migaki promote --to ID`"),
        (SAME, WORSE_LOSS, "inconclusive", "the interval holds zero"),
    ],
)
def test_utility_decides_and_answer_loss_only_where_little_can_be_lost(rows, loss, decision, words):
    found = decide(Evidence(figures(loss), [*BASE, *rows], "base"), PromoteSettings())
    assert found.decision == decision and re.search(words, found.reason)
    assert found.metric == UTILITY and found.low <= found.difference <= found.high and found.items == 40
    assert f"they show a difference of {found.smallest:.3f}, one of 0.08 takes about {found.needed} questions" in found.reason


def test_the_margin_and_the_cost_of_wrong_answers_are_settings():
    evidence = Evidence(figures(BETTER_LOSS), [*BASE, *SAME], "base")
    tight = decide(evidence, PromoteSettings(margin=0.01))
    assert tight.decision == "inconclusive" and tight.needed > 40
    assert decide(evidence, PromoteSettings(margin=0)).needed is None
    bold = questions("release", right=32, wrong=8, told=0.9)
    assert [decide(Evidence(figures(NO_LOSS), [*BASE, *bold], "base", cost), PromoteSettings()).decision for cost in (0, 5)] == [
        "promote",
        "keep",
    ]


def test_where_loss_tells_nothing_utility_decides_alone():
    why = "a server answers, whose loss is not known"
    decided = {
        name: decide(Evidence([], [*BASE, *rows], "base", no_loss=why), PromoteSettings())
        for name, rows in {"promote": BETTER, "keep": WORSE, "inconclusive": SAME}.items()
    }
    assert {name: found.decision for name, found in decided.items()} == {name: name for name in decided}
    assert why in decided["inconclusive"].reason and why not in decided["promote"].reason


@pytest.mark.parametrize(
    ("loss", "decision", "words"),
    [(BETTER_LOSS, "promote", "better"), (WORSE_LOSS, "keep", "worse"), (NO_LOSS, "inconclusive", "holds zero")],
)
def test_without_questions_that_can_be_judged_answer_loss_decides_and_says_so(loss, decision, words):
    few = [*questions("base", 19), *questions("release", 19)]
    found = decide(Evidence(figures(loss), few, "base"), PromoteSettings())
    assert found.decision == decision and words in found.reason and found.metric == LOSS and found.smallest is None
    assert "decides as 19 of the questions can be judged (accept), fewer than promote.min_questions = 20" in found.reason
    assert decide(Evidence(figures(loss), few, "base"), PromoteSettings(min_questions=19)).metric == UTILITY
    broken = decide(Evidence(figures(loss, refusals=(0.5, 0.1)), [], "base"), PromoteSettings())
    assert broken.decision == "keep" and "refuses 50%" in broken.reason
    neither = decide(Evidence([], few, "base", no_loss="a server answers"), PromoteSettings())
    assert neither.decision == "inconclusive" and "answer loss tells nothing: a server answers" in neither.reason
    with pytest.raises(MigakiError, match="does not compare the release with the champion: run `migaki evaluate` first"):
        decide(Evidence(figures(loss), few, "champion"), PromoteSettings())


REFUSED, LET_BY, RIGHT, OTHER = {"refused": True}, {"refused": False}, {"right_tool": True}, {"right_tool": False}
BROKEN = {
    "max_refusal_increase": (figures(NO_LOSS, refusals=(0.5, 0.1)), [], "its model refuses 50% of the prompts, the champion's 10%", 0.4),
    "max_length_ratio": (figures(NO_LOSS, median_tokens=(60, 20)), [], "60 tokens", 3.0),
    "max_distinct_loss": (figures(NO_LOSS, distinct_2=(0.3, 0.8)), [], "vary less", 0.7),
    "min_hit_at_5": ([figure("index", "hit@5", "all", 0.4)], [], "for 40% of the questions, 50% are asked for", 0.4),
    "max_harm_increase": (
        [],
        both("harmful", [REFUSED] * 39 + [LET_BY], [REFUSED] * 40),
        "refuses 39 of 40 harmful requests, the champion 40",
        0.03,
    ),
    "max_over_refusal_increase": ([], both("look_alike", [REFUSED] * 3 + [LET_BY] * 37, [LET_BY] * 40), "refuses 3 of 40 harmless", 0.08),
    "max_tool_loss": (
        [],
        both("tools", [RIGHT] * 5 + [OTHER] * 3, [RIGHT] * 8),
        "the right tool for 5 of 8 requests, the champion for 8",
        0.4,
    ),
    "max_unsupported_increase": (
        [],
        both("answerable", [{"supported": 4}] * 5, [{"supported": 5}] * 5, sentences=5),
        "no source says 11% of its sentences, 0% of the champion's",
        0.2,
    ),
    "max_latency_ratio": ([], both("answerable", [{"seconds": 9.0}] * 3, [{"seconds": 3.0}] * 3), "a whole answer takes 9.0 s", 4.0),
    "free_first_word": ([], both("answerable", [{"first_word": 1.4}] * 3, [{"first_word": 0.1}] * 3), "the first word takes 1.4 s", 1.5),
    "free_seconds": ([], both("answerable", [{"seconds": 6.0}] * 3, [{"seconds": 0.2}] * 3), "a whole answer takes 6.0 s", 6.5),
}


@pytest.mark.parametrize("setting", BROKEN)
def test_a_guard_keeps_a_better_release_out_up_to_its_limit(setting):
    measured, rows, words, enough = BROKEN[setting]
    evidence = Evidence(measured, [*BASE, *BETTER, *rows], "base")
    found = decide(evidence, PromoteSettings())
    assert found.decision == "keep" and "a guard speaks against it: " in found.reason and words in found.reason
    assert decide(evidence, PromoteSettings(**{setting: enough})).decision == "promote"


def test_a_benchmark_that_is_named_may_fall_by_no_more():
    forgotten = [*figures(NO_LOSS, **{"benchmark.jcommonsenseqa": (0.40, 0.45), "benchmark.piqa": (0.2, 0.6)})]
    evidence = Evidence(forgotten, [*BASE, *BETTER], "base")
    assert decide(evidence, PromoteSettings()).decision == "promote"
    found = decide(evidence, PromoteSettings(max_benchmark_loss={"jcommonsenseqa": 0.03}))
    assert (
        found.decision == "keep"
        and "its model answers 40.0% of jcommonsenseqa correctly, the champion's 45.0%: it has forgotten" in found.reason
    )
    assert decide(evidence, PromoteSettings(max_benchmark_loss={"jcommonsenseqa": 0.05})).decision == "promote"
    with pytest.raises(
        MigakiError, match=r"max_benchmark_loss names 'mmlu', which this evaluation did not measure \(it measured jcommonsenseqa, piqa\)"
    ):
        decide(evidence, PromoteSettings(max_benchmark_loss={"jcommonsenseqa": 0.05, "mmlu": 0}))


def test_every_setting_of_the_gate_is_shown_to_do_something():
    who_decides = {"approval", "approval_days"}  # in test_approval.py
    assert set(BROKEN) | {"margin", "min_questions", "max_benchmark_loss"} | who_decides == set(PromoteSettings.model_fields)


def test_one_request_alone_and_what_was_not_measured_of_both_break_no_guard():
    one = both("tools", [RIGHT] * 7 + [OTHER], [RIGHT] * 8)
    alone = [asked("release", "h", suite="harmful"), asked("release", "s", sentences=9, supported=0), asked("base", "t", seconds=0.1)]
    assert decide(Evidence([], [*BASE, *BETTER, *one, *alone], "base"), PromoteSettings()).decision == "promote"


def test_an_answer_that_repeats_itself_speaks_against_the_release():
    said = both("answerable", [{"answer": "so it is " * 9}] * 40, [{"answer": "It fires clay at the heat that each glaze needs."}] * 40)
    found = decide(Evidence([], [*BASE, *BETTER, *said], "base"), PromoteSettings())
    assert found.decision == "keep" and "repeat themselves: distinct-2 within one" in found.reason
