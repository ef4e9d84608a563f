"""A third language, made up as far as a test needs it: `languages/el/claims.py` of a copy of the tasks."""

UNITS = {"μέτρα": "m"}
UNIT = r"\s?μέτρα"
COMPARISONS = {"πάνω από": ">", "κάτω από": "<"}
NO_COMPARISON = "όχι μόνο"
BOUND_FOLLOWS = False
NEGATES_NEXT = r"\bδεν\b"
NEGATES_BEFORE = AGENT = ROLES = r"(?!)"
CLAUSE = r"\bαλλά\b"
SMALL = frozenset("το η ο της του είναι".split())


def figures(text: str) -> str:
    return text.replace("δέκα", "10")


def stem(word: str) -> str:
    return word
