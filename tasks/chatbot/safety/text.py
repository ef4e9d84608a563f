"""Text as the filters read it: one spelling for what looks alike."""

import re
import unicodedata

INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-"})
# Full-width ASCII, and the dashes people type in numbers, to ASCII: one character for one, so that positions stay.
HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
HALF_WIDTH |= {ord(mark): ord("-") for mark in "‐‑‒–—―−"}


def plain(text: str) -> str:
    """NFKC, lower case, no invisible characters, simple quotation marks, single spaces."""
    visible = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return " ".join(visible.translate(QUOTES).lower().split())


def half_width(text: str) -> str:
    """The same text with ASCII for full-width letters, digits and dashes; as long as before."""
    return text.translate(HALF_WIDTH)
