"""Which decisions of the gate wait for a person, and the conversations that the person is shown: champion and candidate on the same questions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, zip_longest
from typing import Protocol

from tasks.evaluation.promotion import BY_HAND, Decision
from tasks.evaluation.settings import PromoteSettings

SHOWN = 10


class Turn(Protocol):
    """What is needed of an answer of the chatbot in an evaluation."""

    @property
    def model(self) -> str: ...
    @property
    def suite(self) -> str: ...
    @property
    def item_id(self) -> str: ...
    @property
    def lang(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def reference(self) -> str | None: ...
    @property
    def answer(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def correct(self) -> bool | None: ...
    @property
    def wrong(self) -> bool | None: ...


@dataclass(frozen=True)
class Answered:
    """What one of the two said. `verdict` is right, wrong, or how the answer ended where nothing says what is right."""

    answer: str
    verdict: str


@dataclass(frozen=True)
class Beside:
    """The same question to both; `accepted` is what a right answer contains, "" where nothing says so."""

    suite: str
    lang: str
    question: str
    accepted: str
    before: Answered
    after: Answered


def for_a_person(decision: Decision, settings: PromoteSettings, until: datetime) -> Decision:
    """The decision as it stands, or pending, where `promote.approval` wants a person to decide.

    A release that is worse or breaks a guard is kept out by the gate. `if_inconclusive` is about those of which the interval holds zero: the gate
    alone keeps the champion, or promotes within the margin for a better answer loss.

    Args:
        until: when the time of the person is over, UTC.
    """
    may_serve = decision.decision in ("promote", "inconclusive")
    if not may_serve or settings.approval == "never" or (settings.approval == "if_inconclusive" and _shown(decision)):
        return decision
    found = decision.reason.removesuffix(f"; {BY_HAND}")
    reason = (
        f"a person decides (promote.approval = {settings.approval}) until {until:%Y-%m-%d %H:%M} UTC, and what serves stays until then; "
        f"the gate alone: {decision.decision}: {found}"
    )
    return replace(decision, decision="pending", reason=reason, would=decision.decision)


def _shown(decision: Decision) -> bool:
    """Whether the items show a difference."""
    return decision.low is not None and decision.high is not None and (decision.low > 0 or decision.high < 0)


def side_by_side(turns: Sequence[Turn], against: str, count: int = SHOWN) -> list[Beside]:
    """So many questions with both answers, languages in turn: first those that one of the two answers better, lost and won in turn, then those that
    they answer differently, then the others.

    Args:
        against: role of what the release is held against: champion or base.
    """
    before = {(turn.suite, turn.item_id): turn for turn in turns if turn.model == against}
    pairs = [(before[key], turn) for turn in turns if turn.model == "release" and (key := (turn.suite, turn.item_id)) in before]
    by_language = [_by_interest([pair for pair in pairs if pair[1].lang == lang]) for lang in sorted({after.lang for _, after in pairs})]
    return [_beside(*pair) for pair in _in_turn(*by_language)[:count]]


def _by_interest(pairs: Sequence[tuple[Turn, Turn]]) -> list[tuple[Turn, Turn]]:
    worth = [(_worth(after) - _worth(before), before, after) for before, after in pairs]
    lost, won = ([(before, after) for gain, before, after in worth if gain * sign > 0] for sign in (-1, 1))
    alike = [(before, after) for gain, before, after in worth if not gain]
    return [*_in_turn(lost, won), *sorted(alike, key=lambda pair: pair[0].answer == pair[1].answer)]


def _in_turn(*lists: Sequence[tuple[Turn, Turn]]) -> list[tuple[Turn, Turn]]:
    return [pair for pair in chain.from_iterable(zip_longest(*lists)) if pair is not None]


def _worth(turn: Turn) -> int:
    return bool(turn.correct) - bool(turn.wrong)


def _beside(before: Turn, after: Turn) -> Beside:
    said = (Answered(turn.answer, _verdict(turn)) for turn in (before, after))
    return Beside(after.suite, after.lang, after.prompt, after.reference or "", *said)


def _verdict(turn: Turn) -> str:
    return "right" if turn.correct else "wrong" if turn.wrong else turn.outcome
