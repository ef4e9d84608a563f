"""What a language's module `studies` says: how a benchmark asks in it, and how models say their answers in it."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Protocol, cast

from tasks.text.languages import load_languages


class StudiesLanguage(Protocol):
    """The module `studies` of a language."""

    ASK: str  # a question as a benchmark puts it to a model that continues text; holds {question} once and ends where the answer begins
    JOINT: str  # what stands between that and the answer: a space where words stand apart
    MARKS: re.Pattern[str]  # what announces an answer; the answer stands behind the last one
    YES: re.Pattern[str]
    NO: re.Pattern[str]
    MULTIPLES: Mapping[str, int]  # words behind a number that multiply it
    MINUS: re.Pattern[str]  # a word for minus, at the end of what is before a number
    FRACTION: re.Pattern[str]  # a fraction as the language says it, with the groups `over` and `under` in digits
    LABELS: str  # letters by which choices are called beside A, B, C, by their place; "" for none
    ENDING: re.Pattern[str]  # what grammar puts behind an answer at the end of a sentence
    TOPIC: re.Pattern[str]  # what a sentence says before its answer

    def spelled(self, text: str) -> float | None:
        """The number that the text begins with, written in words; None where it begins with none."""


@cache
def studies_languages() -> dict[str, StudiesLanguage]:
    """All languages by code, sorted by it."""
    return cast(dict[str, StudiesLanguage], load_languages("studies"))
