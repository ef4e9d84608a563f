"""A third language, made up as far as a test needs it: `languages/el/chat.py` of a copy of the tasks."""

import re

GREETING = "Γεια σας!"
NOTHING_FOUND = "Τα έγγραφα δεν απαντούν."
UNSURE = "Δεν είμαι βέβαιος· τα πλησιέστερα αποσπάσματα:"
WITHHELD = "Δεν επιτρέπεται πλέον."
QUOTED = "Από το «{title}»: {sentence}"
QUOTE_CHARACTERS = 400
QUOTING_BECAUSE = "(Το μοντέλο δεν γράφει καλά ελληνικά.)"
REFUSALS = {
    "harm": "Λυπάμαι, δεν μπορώ.",
    "harm.self_harm": "Δεν είστε μόνοι.",
    "private": "Προσωπικά δεδομένα.",
    "injection": "Κρυμμένες εντολές.",
}
SMALL_TALK = re.compile(r"\s*(γεια( σου| σας)?|ευχαριστώ)\s*[.!;]*\s*", re.I)
REFERRING = re.compile(r"\b(αυτό|εκεί)\b", re.I)
CONTINUING = re.compile(r"^(και|αλλά)\b", re.I)
NAMING = re.compile(r"τι είναι (?:ο |η |το )?(\w+)[;.]*$", re.I)
WORD = re.compile(r"\w+")
WHAT_IS = re.compile(r"τι είναι (?:ο |η |το )?(\w+)[;.]*$", re.I)
ARTICLE = r"(?:ο|η|το)\s+"
DEFINING = r"\s+είναι\b"
NGRAM = 3
SENTENCE_ENDS = ".;"
WORD_ENDS = ""
TERMINAL = dict.fromkeys(
    "hint help again forgotten thanks nothing no_sources unknown near no_text no_file saved talking unsupported unsure unanswered refused".split(),
    "λέξεις",
) | {"no_source": "όχι {}, αλλά {}", "page": "σελ. {}", "hint": "/help: εντολές"}
CUT = {"length": "κόπηκε", "timeout": "αργά", "stopped": "τέλος", "refused": "φίλτρο"}
