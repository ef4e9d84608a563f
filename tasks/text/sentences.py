"""Where sentences end, in any language."""

import re
from collections.abc import Iterator
from functools import cache

from tasks.text.detection import detect
from tasks.text.language import languages
from tasks.text.lists import ITEM

DEEPEST = 8  # brackets inside brackets
NEVER = re.compile(r"(?!)")
LONGEST_QUOTE = 400  # characters; a bracket open for longer was never closed


def sentences(text: str) -> list[str]:
    """Sentences of a text, nothing lost; a sentence end inside a language's brackets does not count, and items of a list end."""
    return [text[start:end] for start, end in sentence_places(text)]


def sentence_places(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence, without the white space around it."""
    start = 0
    for cut in [*_cuts(text, detect(text)), len(text)]:
        yield from trimmed(text, start, cut)
        start = cut


def trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The place without the white space at its ends, if there is anything else."""
    part = text[start:end]
    if stripped := part.strip():
        start += len(part) - len(part.lstrip())
        yield start, start + len(stripped)


@cache
def _marks(lang: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What may end a sentence: an end, a bracket (where the language has any), or the end of a line where a paragraph ends or a list goes on;
    and what opens a bracket right behind another."""
    language = languages()[lang]
    line = rf"(?P<line>\n(?=[ \t]*\n)|{ITEM.pattern})"
    if not language.BRACKETS:
        return re.compile(f"(?P<end>{language.SENTENCE_END})|{line}"), NEVER
    opening, closing = (f"[{re.escape(''.join(side))}]" for side in (language.BRACKETS.keys(), language.BRACKETS.values()))
    marks = re.compile(f"(?P<end>{language.SENTENCE_END})|(?P<open>{opening})|(?P<close>{closing})|{line}")
    return marks, re.compile(rf"\s*{opening}")


def _cuts(text: str, lang: str) -> Iterator[int]:
    """「行く。」「待て。」 is cut between the quotes, 「行く。すぐ行く。」と言った。 nowhere."""
    language, (marks, opens) = languages()[lang], _marks(lang)
    start, closing = 0, ""  # the brackets that would close what is open, the innermost last
    for match in marks.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            closing = (closing + language.BRACKETS[match[0]])[-DEEPEST:]
        elif kind == "close":
            mark = match[0]
            closing = closing[: max(closing.rfind(mark), 0)] if mark in closing else closing
            if not closing and text[match.start() - 1] in language.SENTENCE_MARKS and opens.match(text, match.end()):
                start = match.end()
                yield start
        elif kind == "line" or not closing or match.end() - start > LONGEST_QUOTE:
            start, closing = match.end(), ""
            yield start
