"""Rewards by rule: functions of the user that score answers beside the learned reward model.

A rule is named `module:function*weight` and called as `function(prompts, answers) -> list of numbers`, with two lists of texts of one length:
prompts as the model gets them, chat template included, and answers without special tokens.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import MigakiError
from tasks.stages.own_code import load_functions

SETTING = "align.rule_rewards"


@dataclass(frozen=True)
class Rule:
    """A function of the user, what it is called in metrics (`module:function`), and what its values count."""

    name: str
    weight: float
    function: Callable[[list[str], list[str]], Any]

    def __call__(self, prompts: list[str], answers: list[str]) -> list[float]:
        """One finite number for each answer.

        Raises:
            MigakiError: the rule raised, or returned something else; names rule and row.
        """
        try:
            values = list(self.function(prompts, answers))
        except Exception as error:  # whatever a user's code may raise
            raise MigakiError(
                f"the rule {self.name!r} of {SETTING} raised {type(error).__name__}: {error}, on {self._culprit(prompts, answers)}"
            ) from error
        if len(values) != len(answers):
            raise MigakiError(
                f"the rule {self.name!r} of {SETTING} returned {len(values)} values for {len(answers)} answers; it must return one for each"
            )
        return [self._number(value, row, answers[row]) for row, value in enumerate(values)]

    def _number(self, value: Any, row: int, answer: str) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise MigakiError(f"the rule {self.name!r} of {SETTING} gave {value!r} to {_row(row, answer)}; accepted are finite numbers")
        return number

    def _culprit(self, prompts: list[str], answers: list[str]) -> str:
        """The first row that the rule also fails on alone."""
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            try:
                list(self.function([prompt], [answer]))
            except Exception:
                return _row(row, answer)
        return f"{len(answers)} answers together, though on none of them alone"


def _row(row: int, answer: str) -> str:
    return f"row {row}, whose answer is {answer[:80]!r}"


def load_rules(specs: Sequence[str]) -> list[Rule]:
    """The rules of these names, from their sources as they are now.

    Raises:
        MigakiError: a module or function is missing, a module cannot be imported, or a rule is named twice.
    """
    parts = [spec.partition("*") for spec in specs]
    functions = load_functions([name for name, _, _ in parts], SETTING)
    return [Rule(name, float(weight or 1), function) for (name, _, weight), function in zip(parts, functions, strict=True)]
