"""Text as the filters read it: one spelling for what looks alike."""

import re
import unicodedata

from tasks.text.widths import TO_ASCII

INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-"})
HALF_WIDTH = TO_ASCII | {ord(mark): ord("-") for mark in "‐‑‒–—―−"}  # and the dashes that people type in numbers


def plain(text: str) -> str:
    """NFKC, lower case, no invisible characters, simple quotation marks, single spaces."""
    visible = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return " ".join(visible.translate(QUOTES).lower().split())


def half_width(text: str) -> str:
    """The same text with ASCII for full-width letters, digits and dashes; as long as before."""
    return text.translate(HALF_WIDTH)
