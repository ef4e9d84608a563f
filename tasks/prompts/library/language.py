"""What a language's module `prompts` says: the sentences that a prompt's settings put behind it, and the words by which the advice tells what it has."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Protocol, cast, runtime_checkable

from tasks.text.languages import load_languages


@runtime_checkable
class PromptLanguage(Protocol):
    """The module `prompts` of a language."""

    # Put behind the last message.
    STEP_BY_STEP: str  # the sentence that makes a model reason first (Kojima et al. 2022)
    STEPS: str  # before the written steps
    ONE_LINE: str
    JSON: str  # holds {schema}

    # An example's answer to a question that is decided.
    YES_NO: Mapping[str, str]  # the words for yes and no, by these

    # What the advice looks for (`tasks.prompts.library.lint`).
    INSTRUCTS: re.Pattern[str]  # a clear instruction
    FORMATS: re.Pattern[str]  # what an answer is to look like
    LIMITS: re.Pattern[str]  # how long it may be, or what it must not do


@cache
def languages() -> dict[str, PromptLanguage]:
    """All languages by code, sorted by it."""
    return cast(dict[str, PromptLanguage], load_languages("prompts"))
