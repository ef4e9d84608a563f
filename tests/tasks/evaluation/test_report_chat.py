"""The report's section on the chatbot, of planted turns and figures."""

from datetime import datetime

from tasks.evaluation.chat_figures import MEASURES, QUANTILES, TIMES
from tasks.evaluation.facts import ChatTurn, Facts, Figure, Stage
from tasks.evaluation.report import build_report
from tasks.evaluation.report_chat import METRICS, chat_section


def turn(model, item, correct, suite="answerable", outcome="answered", **facts):
    known = {"lang": "en", "prompt": f"Question {item}?", "reference": "42", "answer": f"{model} says {item}", "right_source": True}
    known |= {"refused": False, "confidence": 0.5, "sources": ["a.md"], "wrong": correct is False and outcome == "answered"}
    return ChatTurn(model=model, suite=suite, item_id=item, outcome=outcome, correct=correct, **known | facts)


def figures(lang):
    for model, value in (("base", 0.4), ("champion", 0.5), ("release", 0.75), ("release - champion", 0.25)):
        yield Figure(model, "chat.correct", lang, value, value - 0.1, value + 0.1, 40)
    yield Figure("release", "chat.whole_p50", lang, 1.25, None, None, 6)


TURNS = [
    *[turn(model, "1", right) for model, right in (("champion", False), ("release", True))],
    *[turn(model, "2", right) for model, right in (("champion", True), ("release", False))],
    turn("champion", "3", False, outcome="unanswered"),
    turn("release", "3", False, confidence=0.9, answer="<script>alert(1)</script>", prompt="First <b>?\nSecond?"),
    turn("release", "h", None, "harmful", answer="Take a pipe", wrong=None),
]


def test_figures_stand_side_by_side_and_conversations_are_text():
    judged = Stage("evaluate", "done", 1.0, {"judge": "The judge 'm' could not be asked: <away>."})
    facts = Facts(
        "r", datetime(2026, 1, 1), "quick", "keep", "so", [judged], figures=[*figures("all"), *figures("en"), *figures("ja")], turns=TURNS
    )
    page = build_report(facts)
    assert "75% (65% to 85%)" in page and "+25% (+15% to +35%)" in page and "1.25" in page
    assert "could not be asked: &lt;away&gt;" in page
    assert "1 items won against the champion" in page and "2 items lost against the champion" in page
    assert "&lt;script&gt;" in page and "<script>" not in page and "<h3>First &lt;b&gt;?</h3><h3>Second?</h3>" in page
    worst = page[page.index("The worst conversations, 3 of 3") :]
    assert worst.index("Take a pipe") < worst.index("&lt;script&gt;") < worst.index("release says 2")
    assert "chat.correct" not in page  # as the other figures are called


def test_without_a_champion_the_base_is_beside_it_and_without_turns_nothing_is_shown():
    alone = [figure for figure in figures("all") if "champion" not in figure.model]
    section = chat_section(Facts("r", datetime(2026, 1, 1), "quick", "keep", "so", figures=alone))
    assert "release - base" in section and "0 items won against the base" in section and "worst" not in section
    assert chat_section(Facts("r", datetime(2026, 1, 1), "quick", "keep", "so")) == ""


def test_every_figure_of_the_chatbot_has_a_line():
    assert {
        *MEASURES,
        *(f"chat.judge_{name}" for name in ("wins", "consistent", "agrees")),
        *(f"chat.{name}_{p}" for name in TIMES for p in QUANTILES),
        "chat.utility",
        "chat.characters",
        "chat.distinct_2",
    } == set(METRICS)
