"""Texts as they are compared, and runs of their characters or words."""

import re
import unicodedata
from typing import TypeVar

SIGNS = re.compile(r"[\W_]+")
Units = TypeVar("Units", str, list[str])


def folded(text: str) -> str:
    """One spelling for texts that differ in width and case alone."""
    return unicodedata.normalize("NFKC", text).lower()


def plain(text: str) -> str:
    """Letters and digits alone, folded; a space stands for whatever stood between them."""
    return SIGNS.sub(" ", folded(text)).strip()


def ngrams(units: Units, n: int) -> list[Units]:
    """All runs of `n` characters of a text, or of `n` of some words; none of fewer."""
    return [units[i : i + n] for i in range(len(units) - n + 1)]
