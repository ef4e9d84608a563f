"""A person compares two answers: which side is whose stays hidden, and the last decision can be taken back (Ouyang et al. 2022, section 3.4)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tasks.text.messages import Message

Choice = Literal["first", "second", "tie", "skip"]
TIE = "tie"


@dataclass(frozen=True)
class Comparison:
    """Two answers to one conversation. `shown` are their places in the order in which they are shown: (1, 0) shows the second one first."""

    messages: list[Message]
    answers: tuple[str, str]
    models: tuple[str, str]
    shown: tuple[int, int]

    def at(self, place: int) -> str:
        """The answer shown at that place, 0 or 1."""
        return self.answers[self.shown[place]]


def hide(messages: list[Message], answers: tuple[str, str], models: tuple[str, str], generator: random.Random) -> Comparison:
    """The comparison in random order."""
    return Comparison(messages, answers, models, (0, 1) if generator.random() < 0.5 else (1, 0))


@dataclass(frozen=True)
class Decision:
    """What a person said: `better` is 0 or 1 for the comparison's own answers (not the order shown), None for a tie or a skipped one."""

    comparison: Comparison
    choice: Choice
    better: int | None


def decide(comparison: Comparison, choice: Choice) -> Decision:
    place = {"first": 0, "second": 1}.get(choice)
    return Decision(comparison, choice, None if place is None else comparison.shown[place])


@dataclass
class Session:
    """Comparisons in their order, and what has been decided of them so far."""

    comparisons: Sequence[Comparison]
    decisions: list[Decision] = field(default_factory=list)

    @property
    def current(self) -> Comparison | None:
        """What is to be decided next; None at the end."""
        return self.comparisons[len(self.decisions)] if len(self.decisions) < len(self.comparisons) else None

    def say(self, choice: Choice) -> Decision:
        """Decide the current comparison; there must be one."""
        self.decisions.append(decide(self.comparisons[len(self.decisions)], choice))
        return self.decisions[-1]

    def undo(self) -> Decision | None:
        """Take back the last decision and give it, so that whoever kept it can forget it; None when there is none."""
        return self.decisions.pop() if self.decisions else None

    def counts(self) -> dict[str, int]:
        """How often each model was preferred, and ties and skips."""
        counts = {TIE: 0, "skip": 0}
        for decision in self.decisions:
            name = decision.choice if decision.better is None else decision.comparison.models[decision.better]
            counts[name] = counts.get(name, 0) + 1
        return counts
