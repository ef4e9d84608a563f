"""A third language, made up as far as a test needs it: `languages/el/tools.py` of a copy of the tasks."""

import re

NUMBERS = {"ένα": 1, "δύο": 2, "τρία": 3}
WORD = re.compile(rf"\b({'|'.join(NUMBERS)})\b")

SCALES = {"χιλιάδες": 1000}
PERCENT = "τοις εκατό"
LONE = ""
SENTENCES: list[tuple[str, str]] = []
SPOKEN = {"plus": [(r"\s+συν\s+", "+")]}
LEAD = "πόσο κάνει"
AFTER_LEAD = BEFORE_EQUALS = ""
AFTER_EQUALS = "(?:;)?"
CLAUSE = r"\s+και\s+(?=\d)"
WEEKDAYS = ("Δευτέρα", "Τρίτη", "Τετάρτη", "Πέμπτη", "Παρασκευή", "Σάββατο", "Κυριακή")
ZONES = {"Europe/Athens": ("αθήνα",)}
ASKS_TIME = "τι ώρα"
ASKS_WEATHER = "καιρός"
AND = r"\bκαι\b"
NO_PLACE = "σήμερα"
PLACE_ENDING = "(?!)"
DAYS_AHEAD = {1: "αύριο"}
CITY_COLUMN = "el"
SKY = dict.fromkeys((0, 2, 3, 48, 57, 67, 77, 82, 86, 99), "ήλιος")
UNKNOWN_SKY = "άγνωστο"
FORECAST, NOW = "{place}, {day}: {sky}, {low:g} ως {high:g}{now}.", ", τώρα {current:g}"
MEAN = "{city}: {mean:g} βαθμοί τον μήνα {day.month}."
ASKS_WEB = r"^ψάξε στο διαδίκτυο για (.+)$"
ASKS_DOCUMENTS = r"^ψάξε στα έγγραφα για (.+)$"
AROUND_QUERY = ";"
CONTENT = None
GENERAL = OPEN = re.compile("(?!)")
STOP_WORDS = "το στην για"
RELEVANCE = {"bias": -2.0, "name": 2.0, "description": 3.0, "question": 1.0, "numbers": -2.0}
Copying = None


def plain_figures(text: str) -> str:
    return text


def words_to_figures(text: str) -> str:
    return WORD.sub(lambda match: str(NUMBERS[match[0]]), text)


def numbers_in_words(text: str) -> list[int]:
    return [NUMBERS[word] for word in WORD.findall(text)]


def places(question: str) -> list[str]:
    return re.findall(r"(?:στην|στο)\s+(\w+(?: και \w+)*)", question)
