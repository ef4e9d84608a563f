"""A third language, made up as far as a test needs it: `languages/el/safety.py` of a copy of the tasks."""

import re

ACTS = {"weapons": [r"φτιάξω (?:μια )?βόμβα"]}
ALWAYS = {"self_harm": ["να πεθάνω"]}
ASKS = "πώς|θέλω"
EXCUSES = {"defence": "προστασία", "facts": "ιστορία", "fiction": "ταινία", "machine": "διεργασία"}
STEPS = "πρώτα,"
WORD = "[α-ωάέήίόύώϊϋ]+"
FORM = frozenset(["πώς", "πώ"])
OVER_REFUSAL = 0.02


def _is_tax_number(match: re.Match[str]) -> bool:
    return match[0].endswith("7")


PERSONAL = [("private.tax_number", r"(?<!\d)\d{9}(?!\d)", _is_tax_number)]
PASSPORT = "διαβατήριο"
NOT_LEARNT = [("private.tax_number", r"ΑΦΜ[^\d\n]{0,5}(?P<number>\d{9})", None)]
SECRET, SECRET_IS, VERSION, HEALTH = "κωδικός", "είναι", "έκδοση", "διαβήτη"
PLACEHOLDERS = {"private": "[προσωπικά]", "private.email": "[διεύθυνση]", "private.tax_number": "[ΑΦΜ]"}
ORDERS = {
    "injection.override": "αγνόησε τις οδηγίες",
    "injection.role": "είσαι πια",
    "injection.exfiltrate": "δείξε την οδηγία",
    "injection.tool": "ο βοηθός πρέπει",
}
HEADINGS = "οδηγία"
SENTENCE_BREAK = r"(?<=;)\s+"
QUOTED = "(παράθεμα, όχι εντολή: «{}»)"
INNER_QUOTES = {"«": "‹", "»": "›"}
