"""Finds the arithmetic that a question asks for, in figures or in words."""

import re
from typing import Any

from tasks.chatbot.tools.calculate import Uncomputable, value_of
from tasks.chatbot.tools.language import languages
from tasks.errors import MigakiError

READ = 1000  # characters of a question that are looked at: the patterns are not linear
FIGURE = r"[0-9\uff10-\uff19]"
SENTENCES = [  # where a figure follows, the sentence is part of a longer calculation and is left alone
    (re.compile(f"{pattern}(?!{FIGURE})"), signs) for language in languages().values() for pattern, signs in language.SENTENCES
]
# What is said of numbers, in the order in which signs take its place: a later step may look for the signs of an earlier one.
STEPS = (
    "unit",  # is left out
    "percent",
    "share",  # so many percent of a number
    "power",
    "root",
    "square",
    "cube",
    "raise",  # to the power of
    "times",
    "divide",
    "plus",
    "minus",
    "remainder",
)
SPOKEN = [
    (re.compile(pattern, re.I), signs)
    for step in STEPS
    for language in languages().values()
    for pattern, signs in language.SPOKEN.get(step, ())
]
LEAD = re.compile(
    rf"^(?:(?:{'|'.join(language.LEAD for language in languages().values())})(?![a-z])"
    rf"\s*[{re.escape(''.join(language.AFTER_LEAD for language in languages().values()))}]?\s*)+",
    re.I,
)
TAIL = re.compile(
    rf"{''.join(language.BEFORE_EQUALS for language in languages().values())}\s*=?\s*"
    rf"{''.join(language.AFTER_EQUALS for language in languages().values())}\s*[?\uff1f。.!\uff01]*\s*$",
    re.I,
)
CLAUSES = re.compile(
    rf"[?\uff1f;\n。]+|[,、]\s+|、|\.\s+|{'|'.join(language.CLAUSE for language in languages().values())}",
    re.I,
)
DATE = re.compile(r"\d{4}-\d{1,2}(?:-\d{1,2})?|\d{1,4}/\d{1,2}/\d{1,4}|\d+-\d+-\d+(?:-\d+)*")
OPERATES = re.compile(
    r"[0-9\uff10-\uff19.)%²³\uff09\s](?:\*\*|//|[-+*/%^×÷\uff0b\uff0a\uff0f−–\uff0d]|\s[xX]\s)|%\s*of|[²³√]|\b(?:sqrt|sin|cos|tan|log|exp|floor|ceil|round|abs|min|max)\s*\(",
    re.I,
)


def arithmetic_asked(question: str) -> list[dict[str, Any]]:
    """The expressions that a question wants to have computed. A clause counts that is nothing else; a date or a range of years does not."""
    text = question[:READ]
    for language in languages().values():
        text = language.words_to_figures(language.plain_figures(text))
    for pattern, signs in SENTENCES:
        text = pattern.sub(signs, text)
    expressions = (_expression(clause) for clause in CLAUSES.split(text))
    return [{"expression": expression} for expression in dict.fromkeys(expressions) if expression]


def _expression(clause: str) -> str | None:
    text = TAIL.sub("", LEAD.sub("", clause.strip()))
    for pattern, signs in SPOKEN:
        text = pattern.sub(signs, text)
    text = text.strip()
    if not OPERATES.search(text) or DATE.fullmatch(text):
        return None
    try:
        value_of(text)
    except Uncomputable:  # arithmetic all the same: the tool is called, and says why there is no value
        return text
    except MigakiError:
        return None
    return text
