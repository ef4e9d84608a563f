"""What a text shares with another word for word: quotations."""

import unicodedata
from collections.abc import Iterator

LEAST = 60  # how much a quotation says at least: 24 letters of an alphabet, some four words, or 10 characters of Japanese
SAYS = {True: 2.5, False: 6.0}  # what a character says, of ASCII and otherwise


def runs(text: str) -> Iterator[str]:
    """All that a text holds of the length of a quotation, without spaces and punctuation, in which quotations differ."""
    letters = "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())
    end, says = 0, 0.0
    for start, first in enumerate(letters):
        while says < LEAST and end < len(letters):
            says += SAYS[letters[end].isascii()]
            end += 1
        if says < LEAST:
            return
        yield letters[start:end]
        says -= SAYS[first.isascii()]
