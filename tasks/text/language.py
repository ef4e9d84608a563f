"""What a language's module `text` says: all that reading, indexing, measuring and prompting ask that differs by language."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Protocol, cast, runtime_checkable

from tasks.text.languages import load_languages


@runtime_checkable
class Language(Protocol):
    """The module `text` of a language. Whatever a text is in, all languages are asked about its words: texts mix them."""

    # Sentences (`tasks.text.sentences`).
    SENTENCE_END: str  # a regular expression of what ends a sentence outside of brackets
    SENTENCE_MARKS: str  # the characters that end sentences: one before a closing bracket ends it too where another bracket follows
    BRACKETS: Mapping[str, str]  # opening to closing, inside of which no sentence ends
    CLAUSE_MARKS: str  # the characters after which a sentence too long is cut best

    # Terms (`tasks.text.terms`).
    CHARACTERS: str  # a regular expression's set, without its brackets, of characters each of which is a term; "" where words stand apart
    WHOLE: str  # a regular expression of runs of them that are terms as a whole, too
    ASKING: re.Pattern[str]  # what only makes a question a question, at its end or its beginning
    WORDS_APART: bool  # whether spaces stand between words, so that words are counted, else characters

    # Answers and prompts.
    REFUSALS: re.Pattern[str]  # set phrases that decline to answer
    WITH_NOTES: str  # a question with what the index found for it; holds {context} and {question}, each once

    # The index.
    DENSE_WEIGHT: float  # share of dense search in the score of its questions, unless `index.dense_weight_CODE` says otherwise
    DENSE_WEIGHTS: Mapping[str, float]  # the same beside embedders that are known by name (`tasks.rag.embedders`)
    CONFIDENCE: Mapping[str, float]  # `bias`, the weight of each of `tasks.rag.confidence.FEATURES`, and the thresholds `least` and `sure`
    SAMPLE: tuple[str, ...]  # sentences that have nothing to do with each other, on which embedders are measured

    def likeness(self, text: str) -> float:
        """How much a text looks like this language, from 0 (not at all) to 1; the likest is taken (`tasks.text.detection`)."""

    def stem(self, word: str) -> str | None:
        """The stem of a word in lower case, None for one that this language does not know how to stem."""

    def weight(self, term: str) -> float:
        """What a term of a question counts for in the search, 1 for one that is no mere grammar."""

    def is_function(self, term: str) -> bool:
        """Whether a term says how something is asked, not what about."""

    def stands(self, part: str, before: str, after: str) -> bool:
        """Whether a part of a run of `CHARACTERS` counts as said (`tasks.text.judging`) where this stands directly before and after it in the run."""


@cache
def languages() -> dict[str, Language]:
    """All languages by code, sorted by it."""
    return cast(dict[str, Language], load_languages("text"))
