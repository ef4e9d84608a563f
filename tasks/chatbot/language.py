"""What a language's module `chat` says: all that differs by language in what the chat says and in how it reads questions."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Protocol, cast, runtime_checkable

from tasks.text.languages import load_languages


@runtime_checkable
class ChatLanguage(Protocol):
    """The module `chat` of a language."""

    # What is said in the model's place.
    GREETING: str
    NOTHING_FOUND: str
    UNSURE: str  # before quotations of which one is not sure that they answer
    WITHHELD: str  # in place of an answer to whoever may not see any more what it rests on
    QUOTED: str  # holds {title} and {sentence}
    QUOTE_CHARACTERS: int  # of an answer that is quoted: about what is read at a glance
    QUOTING_BECAUSE: str  # after a quotation in a language that the model writes poorly
    REFUSALS: Mapping[str, str]  # by the code of `tasks.chatbot.safety`, or by what stands before the code's dot

    # Questions (`smalltalk`, `followup`, `quoting`).
    SMALL_TALK: re.Pattern[str]  # the whole of what nobody looks up
    REFERRING: re.Pattern[str]  # words that point back
    CONTINUING: re.Pattern[str]  # beginnings and endings that go on with what was said
    NAMING: re.Pattern[str]  # where a question says what it is about; the last group of each match is the thing
    WORD: re.Pattern[str]  # a word in lower case that may say what a question is about
    WHAT_IS: re.Pattern[str]  # a question what something is; its group 1 is the thing
    ARTICLE: str  # a regular expression of what may stand before a thing at the beginning of a sentence; "" for nothing
    DEFINING: str  # a regular expression of what stands behind a thing where a sentence says what it is

    # Answers (`citations`, `engine`).
    NGRAM: int  # characters that tell about as much as a word's stem
    SENTENCE_ENDS: str  # the characters at which the filters read what has been written
    WORD_ENDS: str  # the characters that end a word without white space behind them

    # The terminal.
    TERMINAL: Mapping[str, str]  # its words, by the names that `tasks.chatbot.terminal` uses
    CUT: Mapping[str, str]  # why an answer is not whole, by the turn's `finish`


@cache
def languages() -> dict[str, ChatLanguage]:
    """All languages by code, sorted by it."""
    return cast(dict[str, ChatLanguage], load_languages("chat"))
