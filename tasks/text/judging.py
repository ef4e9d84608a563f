"""Whether an answer holds a string that any right answer contains, whatever else it says.

Case, width, spaces and punctuation count for nothing, so the strings are looked for in a text without any. That alone would find "8" in "18" and "RAM"
in "program": where words and numbers ended is therefore kept beside it, and a string counts only where both of its ends lie where something ends.
"""

import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache, lru_cache

from tasks.text.language import languages
from tasks.text.terms import stem

THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
SIGNS = "%\u2030\u00b0$\u20ac\u00a3\u00a5"  # units and currencies: 5 % is not $5
PART_OF = ".+#"  # punctuation, but in 0.1, C++ and C#


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(the pieces of a text: numbers, words, characters that are terms and their runs, signs; what such characters are made of)."""
    characters = "".join(language.CHARACTERS for language in languages().values())
    runs = [language.WHOLE for language in languages().values() if language.WHOLE]
    letter = rf"[^\W\d_{characters}]"
    word = rf"{letter}+(?:(?:\+\+|#)(?![^\W_]))?"
    pieces = [r"\d+(?:\.\d+)*", *runs, word, *([f"[{characters}]"] if characters else []), f"[{SIGNS}]"]
    return re.compile("|".join(pieces)), re.compile(f"[{characters}]+" if characters else "(?!)")


@lru_cache(maxsize=256)
def _cut(text: str) -> "tuple[str, array[int]]":
    """(the text in normal form, where its pieces begin there)."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = BARE_POINT.sub("0.", THOUSANDS.sub("", text))
    text = "".join(letter if letter.isalnum() or letter in SIGNS or letter in PART_OF else " " for letter in text)
    starts, parts, length, before = array("I"), list[str](), 0, " "
    for piece in _patterns()[0].findall(text):
        if before[-1].isdigit() and piece[0].isdigit():  # 12 30 is not 1230
            parts.append(" ")
            length += 1
        starts.append(length)
        parts.append(piece)
        length += len(piece)
        before = piece
    return "".join(parts), starts


def normalised(text: str) -> str:
    """A text as answers are compared: NFKC, case folded, without spaces and punctuation but the points of numbers (0.1; 1,000 is 1000), and without other
    signs than units and currencies. Numbers side by side stay apart. A minus is a hyphen (1380-1440). Empty where nothing is left."""
    return _cut(text)[0]


def accepts(answer: str, accept: Sequence[str]) -> bool:
    """Whether an answer contains one of these strings, as `normalised` says.

    A number counts only as a whole, and a word only where it begins ("RAM" is not in "program") and ends, endings that leave its stem aside ("name" is in
    "names"). Of a language written without spaces the language says what counts inside a longer run of its characters.

    Args:
        accept: strings of which any right answer contains one. What is empty when normalised is passed over.
    """
    return accepted(answer, accept) is not None


def accepted(answer: str, accept: Sequence[str]) -> str | None:
    """The first of the strings that the answer contains, as `accepts` says."""
    return next((text for text in accept if (wanted := normalised(text)) and _holds(answer, wanted)), None)


def _holds(text: str, wanted: str) -> bool:
    joined, starts = _cut(text)
    start = joined.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        first, last = bisect_right(starts, start) - 1, bisect_left(starts, end) - 1  # the pieces in which the place begins and ends
        piece_end = [*starts[last + 1 : last + 2], len(joined)][0]
        before, after = joined[starts[first] : start], joined[end:piece_end].strip()
        if first == last:
            stands = _stands(wanted, before, after)
        else:
            stands = _stands(joined[start : starts[first + 1]].strip(), before, "") and _stands(joined[starts[last] : end], "", after)
        if stands:
            return True
        start = joined.find(wanted, start + 1)
    return False


def _stands(part: str, before: str, after: str) -> bool:
    """Whether a part of a piece counts, by what of the piece is before and after it."""
    if not before and not after:
        return True
    if part[-1].isdigit():
        return False
    if _patterns()[1].fullmatch(part):
        return all(language.stands(part, before, after) for language in languages().values())
    return not before and stem(part + after) == stem(part)
