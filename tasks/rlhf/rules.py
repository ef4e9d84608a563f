"""Rewards by rule: functions of the user that score answers beside the learned reward model.

A rule is named `module:function*weight` and called as `function(prompts, answers) -> list of numbers`, with two lists of texts of one length:
prompts as the model gets them, chat template included, and answers without special tokens. Nothing here needs torch: the names are also read
when a finished stage is looked up.
"""

import importlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tasks.errors import MigakiError

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
    rules: list[Rule] = []
    modules: dict[str, ModuleType] = {}
    for spec in specs:
        name, _, weight = spec.partition("*")
        module, _, function = name.partition(":")
        if name in [rule.name for rule in rules]:
            raise MigakiError(f"{SETTING} names {name!r} twice; give it once, with the sum of the weights")
        modules[module] = modules.get(module) or _run(module)
        rules.append(Rule(name, float(weight or 1), _function(modules[module], module, function)))
    return rules


def find_module(module: str) -> tuple[Path, str | None]:
    """The file of a module and the package it belongs to: in the folder where the command runs, else among the installed packages."""
    importlib.invalidate_caches()  # the file may be younger than Python's listing of its folder
    with _working_folder_first():
        # PathFinder alone would miss packages installed as editable, find_spec alone would give what was imported from elsewhere before.
        try:
            spec = ("." not in module and PathFinder.find_spec(module)) or find_spec(module)
        except (ModuleNotFoundError, ValueError):
            spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise MigakiError(
            f"{SETTING} names the module {module!r}, and there is no {module.replace('.', '/')}.py in {str(Path.cwd())!r}, where the command runs, "
            "and no such module among the installed packages"
        )
    return Path(spec.origin), spec.parent


class _FromSource(SourceFileLoader):
    """Python's own loader, without the compiled code that it takes where size and second of the source are the same."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _run(module: str) -> ModuleType:
    """The module, executed from its source as it is now: neither an earlier import nor compiled code that seems new enough counts."""
    source, package = find_module(module)
    made = ModuleType(f"{module} of {SETTING}")
    made.__file__, made.__package__ = str(source), package
    sys.modules[made.__name__] = made  # where dataclasses and the like look for their own module
    try:
        with _working_folder_first():
            _FromSource(made.__name__, str(source)).exec_module(made)
    except Exception as error:
        raise MigakiError(f"the module {module!r} of {SETTING} cannot be imported: {type(error).__name__}: {error}") from error
    return made


def _function(made: ModuleType, module: str, name: str) -> Callable[..., Any]:
    function = getattr(made, name, None)
    if not callable(function):
        defined = [key for key, value in vars(made).items() if callable(value) and getattr(value, "__module__", None) == made.__name__]
        raise MigakiError(
            f"{SETTING} names {module}:{name}, and that module has no function {name!r}; it has {', '.join(defined) or 'none'}"
        )
    return function


@contextmanager
def _working_folder_first() -> Iterator[None]:
    """A command that pip installed does not look for modules where it runs, other than `python -m`."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
