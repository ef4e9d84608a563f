"""What a language's module `safety` says: all that differs by language in harmful requests, personal data and orders hidden in documents."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Protocol, cast, runtime_checkable

from tasks.text.languages import load_languages


@runtime_checkable
class SafetyLanguage(Protocol):
    r"""The module `safety` of a language. Strings that are regular expressions match nothing as r"(?!)", never as ""."""

    # Harmful requests (`rules`): regular expressions, matched on `tasks.chatbot.safety.text.plain` of texts in this language.
    ACTS: Mapping[str, Sequence[str]]  # by topic: acts with their object
    ALWAYS: Mapping[str, Sequence[str]]  # by topic: what no context excuses
    ASKS: str  # a request for means
    EXCUSES: Mapping[str, str]  # contexts that are harmless, by `rules.EXCUSES`
    STEPS: str  # where directions begin, but for a figure 1; matched on every text

    # The classifier: what its features are made of.
    WORD: str  # a regular expression of a word in `plain` text; of a language whose words do not stand apart, runs of characters count
    FORM: frozenset[str]  # words and stems that say how a request is put, not what it is about
    OVER_REFUSAL: float  # share of look-alike harmless requests that may be refused where no setting says so

    # Personal data (`personal`), looked for in texts of every language.
    # (code, regular expression, what else must hold or None); a group `number` leaves out what stands around the data.
    PERSONAL: Sequence[tuple[str, str, Callable[[re.Match[str]], bool] | None]]
    PASSPORT: str  # a regular expression of words for a passport
    PLACEHOLDERS: Mapping[str, str]  # what stands in their place, by code; `private` for codes of other languages that are not named

    # What must not be learnt from chats (`learning`), looked for in texts of every language.
    NOT_LEARNT: Sequence[tuple[str, str, Callable[[re.Match[str]], bool] | None]]  # as PERSONAL, but what an answer may well say
    SECRET: str  # a regular expression of words for what lets somebody in; matched in either case
    SECRET_IS: str  # a regular expression of what stands between such a word and the secret, besides a colon
    VERSION: str  # a regular expression of words before a version's number; matched in either case
    HEALTH: str  # a regular expression of words for illness, treatment and the like; says itself which case it takes

    # Orders to the model (`injection`), looked for in texts of every language.
    ORDERS: Mapping[str, str]  # regular expressions by `injection.CODES`
    HEADINGS: str  # a regular expression of headings that templates have over an instruction and an answer
    SENTENCE_BREAK: str  # a regular expression of what stands between sentences
    QUOTED: str  # an order shown as a quotation, which stands for {}
    INNER_QUOTES: Mapping[str, str]  # marks that would close this quotation, to others


@cache
def languages() -> dict[str, SafetyLanguage]:
    """All languages by code, sorted by it."""
    return cast(dict[str, SafetyLanguage], load_languages("safety"))
