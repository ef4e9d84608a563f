"""English, as text that is read, searched, measured and prompted. What no other language claims counts as English, too."""

import re
from functools import cache
from threading import Lock
from typing import Any

LIKENESS = 1e-6  # less than that of any language which finds its own signs in a text

SENTENCE_END = r"""(?:(?<=[.!?])|(?<=[.!?]["')\]]))\s+(?=["'(\[]?[A-Z0-9])"""
SENTENCE_MARKS = ".!?"
BRACKETS: dict[str, str] = {}
CLAUSE_MARKS = ","

CHARACTERS = WHOLE = ""
ASKING = re.compile(r"(?!)")  # never

WORDS_APART = True

REFUSALS = re.compile(
    r"\b(i (can(no|')t|am (unable|not able|sorry)|do(n't| not) know)\b|i'm (sorry|unable|not able)\b|as an ai\b|sorry, (but )?i\b)",
    re.IGNORECASE,
)
WITH_NOTES = "Answer the question from these notes.\n\n{context}\n\nQuestion: {question}"

DENSE_WEIGHT = 0.5
DENSE_WEIGHTS = {"multilingual-e5": 0.65, "all-minilm-l6-v2": 0.5}
CONFIDENCE = {
    "bias": -9.905,
    "subject": 7.726,
    "sentence": 2.851,
    "contrast": 0.0,
    "companion": 10.629,
    "chunk_cover": 0.0,
    "sentence_cover": 2.222,
    "score_gap": 4.781,
    "least": 0.3,
    "sure": 0.48,
}
FUNCTION_WORDS = (
    "a an the of in on at to for from by with as is are was were be been do did does what which who whom whose when where why how "
    "that this these those it he she they them his her their and or not had has have can could would will s one some many much most "
    "name type kind call"
)
SAMPLE = (
    "The library opens at nine and closes at six, except on Mondays.",
    "How long does it take to charge the battery of the small scooter?",
    "Invoices above 5,000 dollars need the signature of two managers.",
    "A gradient that grows without limit is clipped before the optimizer sees it.",
    "The bridge was rebuilt in 1931 after the flood had carried off two of its piers.",
    "Yes.",
    "To reset the device, hold both buttons for ten seconds until the light turns red, then wait for it to restart. "
    "Settings are lost, but recordings stay on the card.",
    "Plants that grow in the shade have broader leaves than those in full sun.",
)

_stemming = Lock()


def likeness(text: str) -> float:
    return LIKENESS


@cache
def _stemmer() -> Any:
    import snowballstemmer  # at the first word: it takes longer than all else that is read to tell a text's language

    return snowballstemmer.stemmer("english")


def stem(word: str) -> str | None:
    if not word.isascii():
        return None
    with _stemming:  # the stemmer keeps the word in itself
        return _stemmer().stemWord(word)


def weight(term: str) -> float:
    return 1.0


@cache
def _function_stems() -> frozenset[str | None]:
    return frozenset(stem(word) for word in FUNCTION_WORDS.split())


def is_function(term: str) -> bool:
    return term in _function_stems()


def stands(part: str, before: str, after: str) -> bool:
    return True  # no run is of English characters
