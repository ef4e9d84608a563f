"""The report's section on a decision that waits for a person: how to decide, and both chatbots' answers beside each other."""

from tasks.evaluation.approval import Answered, Beside, side_by_side
from tasks.evaluation.facts import Facts
from tasks.pages.page import note, section, text


def approval_section(facts: Facts) -> str:
    """Nothing where no person was to decide."""
    if facts.decision != "pending" or not facts.decision_id:
        return ""
    against = "champion" if any(turn.model == "champion" for turn in facts.turns) else "base"
    shown = facts.decision_id[:8]
    told = (
        f"When this was written, the decision {shown} waited. On the page of the chat an administrator decides under Decisions; in a terminal do "
        f"`migaki promote --approve {shown} --why TEXT` and `migaki promote --refuse {shown} --why TEXT`. `migaki status` says what waits now."
    )
    pairs = "".join(_pair(one, against) for one in side_by_side(facts.turns, against))
    return section("A person decides", note(told), pairs)


def _pair(one: Beside, against: str) -> str:
    asked = "".join(f"<h3>{text(question)}</h3>" for question in one.question.split("\n"))
    accepted = f"<p class='dim'>to accept: {text(one.accepted)}</p>" if one.accepted else ""
    answers = _said(against, one.before) + _said("release", one.after)
    return f'<div class="pair" lang="{text(one.lang)}">{asked}{accepted}<div>{answers}</div></div>'


def _said(role: str, said: Answered) -> str:
    return f"<p><b>{text(role)}: {text(said.verdict)}</b>{text(said.answer) or '<i>(nothing)</i>'}</p>"
