"""What a language's module `tools` says: all that differs by language in what tools are asked for, and in what they answer."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol, cast, runtime_checkable

from tasks.text.languages import load_languages

Substitution = tuple[str, str]  # a regular expression, and what `re.sub` puts in its place


class CopyingLanguage(Protocol):
    """How arguments are copied from questions (`copied`). What says something of a parameter is looked for in its name and description."""

    SPAN: re.Pattern[str]  # pieces that may be values; its groups are their forms: quote, address, date, time, number, code and name
    QUANTITY: str  # a regular expression of numbers that are not all figures
    WANTS: Mapping[str, re.Pattern[str]]  # by form: parameters that want it; all others want a name
    BEGINS: re.Pattern[str]  # parameters that say where something begins
    ENDS: re.Pattern[str]  # and where it ends
    FROM: re.Pattern[str]  # what stands behind a place where something begins
    TO: re.Pattern[str]  # and where it ends
    LIST: re.Pattern[str]  # what stands between the parts of a list
    WORD: re.Pattern[str]  # words of a description
    GENERAL: frozenset[str]  # those that say nothing of the parameter
    ASIDE: re.Pattern[str]  # where a description goes on to examples and defaults
    UNITS: Mapping[str, str]  # by a word of a parameter: the unit behind its number
    COUNTS: re.Pattern[str]  # a parameter that is a number of something; its group 1 is that
    WHEN: re.Pattern[str]  # units of dates and times, behind a number
    AFTER: re.Pattern[str]  # what may stand behind a name
    BOUNDS: frozenset[str]  # names that are none
    KIND: re.Pattern[str]  # an end of a name that says what it is the name of, where the parameter has it too
    NEGATED: re.Pattern[str]  # what stands behind a thing that is not wanted
    FRACTION: re.Pattern[str]  # parameters that want a fraction where people say a percentage


@runtime_checkable
class ToolsLanguage(Protocol):
    r"""The module `tools` of a language. Strings that are regular expressions match nothing as r"(?!)", never as "", and are tried on
    questions of every language unless something else is said: texts mix them. Upper and lower case are alike to them."""

    # Numbers (`values`).
    SCALES: Mapping[str, int]  # words behind a figure that multiply it
    PERCENT: str  # a regular expression of the word, in lower case
    LONE: str  # a regular expression's set, without its brackets, of characters each of which may be a word; "" for none

    # Arithmetic (`arithmetic`).
    SENTENCES: Sequence[Substitution]  # whole calculations in words to signs
    SPOKEN: Mapping[str, Sequence[Substitution]]  # by `arithmetic.STEPS`: words to signs
    LEAD: str  # a regular expression of what may stand before a calculation
    AFTER_LEAD: str  # the characters that may stand behind that
    BEFORE_EQUALS: str  # a regular expression, which may be empty, of what stands between a calculation and the equals sign
    AFTER_EQUALS: str  # and of what stands behind the sign
    CLAUSE: str  # a regular expression of what stands between two calculations, besides punctuation

    # The clock.
    WEEKDAYS: Sequence[str]  # from Monday
    ZONES: Mapping[str, Sequence[str]]  # by name of the IANA database: places in it, in lower case
    ASKS_TIME: str  # a regular expression of questions for the time or date

    # The weather.
    ASKS_WEATHER: str  # a regular expression of questions for it
    AND: str  # a regular expression of what stands between places, besides a comma; in lower case
    NO_PLACE: str  # a regular expression of what `places` finds and is none
    PLACE_ENDING: str  # a regular expression of an end of a place's name that tables leave out
    DAYS_AHEAD: Mapping[int, str]  # regular expressions of days by how many days from now they are
    CITY_COLUMN: str  # of a weather table: the names in this language; of a table without it, the first column is taken
    SKY: Mapping[int, str]  # by `weather.CODES`
    UNKNOWN_SKY: str
    FORECAST: str  # holds {place}, {day}, {sky}, {low}, {high} and {now}, which is NOW, or empty
    NOW: str  # holds {current}
    MEAN: str  # holds {city}, {mean} and {day}, which is a date

    # Search. Regular expressions of questions; the first group that matched is the query.
    ASKS_WEB: str
    ASKS_DOCUMENTS: str
    AROUND_QUERY: str  # the characters that are no part of a query at its ends

    # Relevance (`relevance`), of questions in this language.
    CONTENT: re.Pattern[str] | None  # what is compared, as group 1 or as a whole, where words do not stand apart; None compares terms
    GENERAL: re.Pattern[str]  # what descriptions of functions have in common; left out before
    STOP_WORDS: str  # words that say nothing, in questions of every language
    OPEN: re.Pattern[str]  # what asks for knowledge, advice or a text, which a function seldom gives
    RELEVANCE: Mapping[str, float]  # the fields of `relevance.Weights` that are not 0

    # Arguments of questions in this language; None where models write them themselves.
    Copying: type[CopyingLanguage] | None

    def plain_figures(self, text: str) -> str:
        """The text with figures that are mixed with words (1万5千) as figures alone."""

    def words_to_figures(self, text: str) -> str:
        """The text with every number in words as figures, however a word goes on behind it."""

    def numbers_in_words(self, text: str) -> list[int]:
        """The numbers in words, in order, where they are no part of another word."""

    def places(self, question: str) -> list[str]:
        """What a question for the weather has in the place of a place; several may stand in one, with `AND` between them."""


@cache
def languages() -> dict[str, ToolsLanguage]:
    """All languages by code, sorted by it."""
    return cast(dict[str, ToolsLanguage], load_languages("tools"))
