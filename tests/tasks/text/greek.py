"""A third language, made up as far as a test needs it: a copy of this file is `languages/el/text.py` of a copy of the tasks."""

import re

LETTERS = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")
ENDINGS = re.compile(r"(?:[αειουηω]|ας|ες|ης|ος|ου|ων|ά|ή|ί|ό|ύ|ώ)$")
FUNCTION = {"ο", "η", "το", "τ", "πο", "πού", "είν", "στ", "στον"}

SENTENCE_END = r"[.!;](?=\s+[«(]?[\u0386-\u03ab\u1f08-\u1fff])"
SENTENCE_MARKS = ".!;"
BRACKETS = {"«": "»"}
CLAUSE_MARKS = "·"

CHARACTERS = WHOLE = ""
ASKING = re.compile(r"^τι είναι\s+", re.IGNORECASE)

WORDS_APART = True

REFUSALS = re.compile(r"\bδεν μπορώ\b", re.IGNORECASE)
WITH_NOTES = "Απάντησε από τις σημειώσεις.\n\n{context}\n\nΕρώτηση: {question}"

DENSE_WEIGHT = 0.25
DENSE_WEIGHTS = {"multilingual-e5": 0.4}
CONFIDENCE = {
    "bias": -5.0,
    "subject": 1.0,
    "sentence": 2.0,
    "contrast": 1.0,
    "companion": 0.0,
    "chunk_cover": 1.0,
    "sentence_cover": 6.0,
    "score_gap": 1.0,
    "least": 0.3,
    "sure": 0.44,
}
SAMPLE = ("Η βιβλιοθήκη ανοίγει στις εννέα.", "Ναι.")


def likeness(text: str) -> float:
    return len(LETTERS.findall(text)) / max(1, len(text))


def stem(word: str) -> str | None:
    return ENDINGS.sub("", word) if LETTERS.search(word) else None


def weight(term: str) -> float:
    return 0.25 if is_function(term) else 1.0


def is_function(term: str) -> bool:
    return term in FUNCTION


def stands(part: str, before: str, after: str) -> bool:
    return True
