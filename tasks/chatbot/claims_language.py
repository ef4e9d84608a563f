"""What a language's module `claims` says: the words that turn a sentence into another claim although all other words stay."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Protocol, cast, runtime_checkable

from tasks.text.languages import load_languages


@runtime_checkable
class ClaimsLanguage(Protocol):
    """The module `claims` of a language. Patterns have no capturing groups and are asked of the text after NFKC and `figures`."""

    UNITS: Mapping[
        str, str
    ]  # what may stand behind a number, in lower case but for signs of at most three letters, and one name for all its spellings
    UNIT: str  # a regular expression of any unit that stands right behind a number; the first that fits is taken
    COMPARISONS: Mapping[
        str, str
    ]  # regular expressions of words that compare, bound, order or quantify, by what they say; "=": each says itself
    NO_COMPARISON: str  # a regular expression of what looks like one, or like a negation, and is none
    BOUND_FOLLOWS: bool  # whether what bounds a number stands behind it, else before it
    NEGATES_NEXT: str  # a regular expression of what negates the word that follows
    NEGATES_BEFORE: str  # and of what negates the one before
    AGENT: str  # a regular expression of what says that the next word does what is done to another
    ROLES: str  # a regular expression of what stands right behind a word and says what part it plays
    CLAUSE: str  # a regular expression of words that begin another clause
    SMALL: frozenset[str]  # words that carry no claim of their own, in lower case

    def figures(self, text: str) -> str:
        """The text with numbers in words, multiples and signs in words as figures."""

    def stem(self, word: str) -> str:
        """One form for the inflections of a word in lower case; the word itself where it is of another language."""


@cache
def languages() -> dict[str, ClaimsLanguage]:
    """All languages by code, sorted by it."""
    return cast(dict[str, ClaimsLanguage], load_languages("claims"))


@cache
def comparing() -> re.Pattern[str]:
    """All that compares, bounds or negates, of all languages; a match's group is the key of `comparison`."""
    parts = [f"(?P<{key}>{pattern})" for key, (pattern, _, _) in _compared().items()]
    return re.compile("|".join(parts))


def comparison(key: str) -> tuple[str, ClaimsLanguage]:
    """What a match of `comparing` says ("" nothing, "not+" and "not-" that the word behind or before is negated, "by" an agent), and its language."""
    _, said, language = _compared()[key]
    return said, language


@cache
def _compared() -> dict[str, tuple[str, str, ClaimsLanguage]]:
    rows: list[tuple[str, str, ClaimsLanguage]] = []
    for language in languages().values():
        rows.append((language.NO_COMPARISON, "", language))
        rows += [(pattern, said, language) for pattern, said in language.COMPARISONS.items()]
        rows += [(language.NEGATES_NEXT, "not+", language), (language.NEGATES_BEFORE, "not-", language)]
        rows.append((language.AGENT, "by", language))
    return {f"g{i}": row for i, row in enumerate(rows)}
