"""Which language a text is in."""

from tasks.text.language import Language, languages


def detect(text: str) -> str:
    """The code of the language that the text looks most like; of two that it looks like alike, the first."""
    known = languages()
    return max(known, key=lambda code: known[code].likeness(text))


def language_of(text: str) -> Language:
    return languages()[detect(text)]
