"""Which questions of a suite are asked, and which are the examples before them."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import MigakiError
from tasks.prompts.library.prompt import NAME
from tasks.studies.prompting.methods import Method
from tasks.studies.prompting.settings import OWN, SolvingSettings
from tasks.studies.suites.question import Question, Suite
from tasks.studies.suites.reading import KINDS, read_file, read_suite


@dataclass(frozen=True)
class Drawn:
    """Questions that are asked, and others whose answers are shown: to every question the first so many, and those with steps where these are shown."""

    asked: tuple[Question, ...]
    examples: tuple[Question, ...]
    worked: tuple[Question, ...]

    def shown(self, method: Method) -> tuple[Question, ...]:
        return (self.worked if method.steps == "shown" else self.examples)[: method.shots]


def open_suite(settings: SolvingSettings) -> Suite:
    """The suite that the settings name.

    Raises:
        MigakiError: there is no such benchmark or file, or a row of it is broken.
    """
    path = Path(settings.suite).expanduser()  # a bare name is never a file: from afar it is not held to the folders that may be read
    if settings.suite in KINDS:
        if not settings.benchmarks_dir:
            raise MigakiError(f"prompt_study.benchmarks_dir (--benchmarks-dir) is empty: it is the folder in which {settings.suite} lies")
        return read_suite(settings.suite, Path(settings.benchmarks_dir).expanduser())
    if path.is_file() and not re.fullmatch(NAME, settings.suite):
        return read_file(path)
    raise MigakiError(
        f"prompt_study.suite = {settings.suite!r} is neither {OWN!r}, nor a file, nor a benchmark; benchmarks are {', '.join(KINDS)}"
    )


def draw(suite: Suite, methods: Sequence[Method], count: int, seed: int) -> Drawn:
    """Draw by the seed. Examples are a suite's published ones where it has enough, else questions that are not asked: fewer are asked where a file is small.

    Raises:
        MigakiError: the suite has too few questions, or too few with published steps, for the examples that are asked for.
    """
    order = random.Random(f"{seed} {suite.name}").sample(suite.questions, len(suite.questions))
    few = max((method.shots for method in methods if method.steps != "shown"), default=0)
    worked = max((method.shots for method in methods if method.steps == "shown"), default=0)
    published = suite.examples if len(suite.examples) >= few and sum(bool(one.rationale) for one in suite.examples) >= worked else ()
    others = list(published or reversed(order))
    with_steps = [one for one in others if one.rationale][:worked]
    if len(with_steps) < worked:
        raise MigakiError(
            f"few-cot:{worked} shows the steps of {worked} questions, and {suite.name} has them for {len(with_steps)}: few and cot need none"
        )
    examples = others[:few]
    left = {one.id for one in [*with_steps, *examples]}
    asked = [one for one in order if one.id not in left][:count]
    if len(examples) < few or not asked:
        raise MigakiError(
            f"{max(few, worked)} examples are asked for beside what is asked, and {suite.name} has {len(suite.questions)} "
            f"question{'s' * (len(suite.questions) != 1)}: name fewer in prompt_study.methods"
        )
    return Drawn(tuple(asked), tuple(examples), tuple(with_steps))
