"""A text as the things it claims, in order: numbers with sign and unit, names, comparisons, negations, and the other words that carry meaning.

Nothing is stripped before it has been read: a sign, a unit and a bound belong to their number, a negation to the word it negates. Whatever a
text is in, the words of all languages are known: texts mix them.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from tasks.chatbot.claims_language import comparing, comparison, languages

NUMBER, NAME, COMPARED, NEGATED, WORD = "number", "name", "compared", "negated", "word"
CONTENT = (NUMBER, NAME, WORD)
BREAK = r"[,;:()\[\]{}!?\u3001\u3002\uff0c\uff0e\u300c-\u300f\u2014\u2013|\n\"\u201c\u201d]|\.(?=\s|$)|\s-\s"
FIGURES = (
    r"(?P<sign>(?<![\dA-Za-z)%])[-\u2212\u2013\u00b1]\s?)?(?P<currency>(?:US|CA|AU)?[$\u20ac\u00a3\u00a5]\s?)?(?P<figures>\d+(?:[.:/]\d+)*)"
)
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
CJK = r"\u3005\u3400-\u9fff\uf900-\ufaff"
TOUCHING = 2  # characters at most between what bounds a number and the number


@dataclass(frozen=True)
class Claim:
    """One thing that a text says. `marks` are the bounds, the negation and the agent's "by" that belong to it."""

    kind: str
    value: str
    start: int
    end: int
    clause: int
    marks: frozenset[str] = frozenset()
    role: str = ""
    first: bool = False  # it begins the text, where any word of some languages has a capital letter
    group: str = field(default="", compare=False)  # of a comparison: where its language is found

    def same(self, other: "Claim") -> bool:
        """Whether both name the same thing, whatever is said of it."""
        return self.value == other.value and (self.kind == other.kind or {self.kind, other.kind} <= {NAME, WORD})

    def agrees(self, other: "Claim") -> bool:
        """Whether of that thing the same is said."""
        return self.marks == other.marks and (not self.role or not other.role or self.role == other.role)


@cache
def _tokens() -> re.Pattern[str]:
    clause = "|".join(language.CLAUSE for language in languages().values())
    return re.compile(
        rf"(?P<number>{FIGURES})|(?P<clause>{clause}|{BREAK})|{comparing().pattern}|(?P<latin>[^\W\d_{CJK}\u3040-\u30ff][^\W_{CJK}\u3040-\u30ff]*(?:'s)?)|"
        rf"(?P<katakana>[\u30a1-\u30fa\u30fc]{{2,}})|(?P<character>[{CJK}\u30a1-\u30fa])"
    )


@cache
def _units() -> tuple[re.Pattern[str], dict[str, str]]:
    names = {spelled: name for language in languages().values() for spelled, name in language.UNITS.items()}
    return re.compile("|".join(language.UNIT for language in languages().values())), names


@cache
def _roles() -> re.Pattern[str]:
    return re.compile("|".join(language.ROLES for language in languages().values()))


@lru_cache(maxsize=2000)
def claims(text: str) -> tuple[Claim, ...]:
    """The claims of a text, in order."""
    text = in_figures(text)
    return tuple(_marked(text, list(_read(text))))


@lru_cache(maxsize=2000)
def in_figures(text: str) -> str:
    """The text after NFKC, numbers in figures without separators of thousands."""
    text = unicodedata.normalize("NFKC", text)
    for language in languages().values():
        text = language.figures(text)
    return THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)


def _read(text: str) -> Iterator[Claim]:
    at, clause, first = 0, 0, True
    while match := _tokens().search(text, at):
        kind, at = match.lastgroup or "", match.end()
        if kind == "clause":
            clause += 1
            continue
        if kind == "number":
            claim = _number(text, match, clause)
        elif kind.startswith("g"):
            said, _ = comparison(kind)
            value = match[0].lower() if said == "=" else said
            claim = Claim(NEGATED if said.startswith("not") else COMPARED, value, match.start(), at, clause, group=kind)
            if not said:
                continue
        else:
            found = _word(match, kind, clause, first)
            if found is None:
                first = False
                continue
            claim = found
        at, first = claim.end, False
        if claim.kind in CONTENT and (role := _roles().match(text, at)):
            claim = replace(claim, role=role[0])
        yield claim


def _number(text: str, match: re.Match[str], clause: int) -> Claim:
    pattern, names = _units()
    unit, end = (match["currency"] or "").strip()[-1:], match.end()
    if not unit and (found := pattern.match(text, end)):
        unit, end = _unit(found[0], names), found.end()
    figures = match["figures"]
    if figures.isdigit():
        figures = str(int(figures)) if len(figures) < 30 else figures
    sign = (match["sign"] or "").strip().replace("\u2212", "-").replace("\u2013", "-")
    return Claim(NUMBER, f"{sign}{figures} {unit}", match.start(), end, clause)


def _unit(raw: str, names: dict[str, str]) -> str:
    """One name for all spellings. The case of short ones says something: mW and MW, Mb and MB."""
    raw = raw.strip(" -")
    if raw in names:
        return names[raw]
    low = re.sub(r"per\s+cent", "percent", raw.lower())
    power, rate = "", ""
    for word, sign in (("square ", "2"), ("cubic ", "3")):
        if low.startswith(word):
            low, power = low.removeprefix(word), sign
    if " per " in low:
        low, _, per = low.partition(" per ")
        rate = f"/{names.get(per, per)}"
    return names.get(low, low) + power + rate if len(raw) > 3 else raw


def _word(match: re.Match[str], kind: str, clause: int, first: bool) -> Claim | None:
    word, place = match[0], (match.start(), match.end(), clause)
    if kind == "character":
        return Claim(WORD, word, *place, first=first)
    if kind == "katakana":
        return Claim(NAME, word, *place, first=first)
    low = word.lower().removesuffix("'s")
    if any(low in language.SMALL for language in languages().values()) and (word == low or first or len(low) == 1 or not word.isupper()):
        return None
    stem = low
    for language in languages().values():
        stem = language.stem(stem)
    named = any(letter.isdigit() for letter in word) or word[1:] != word[1:].lower() or (word[0] != low[0] and not first)
    return Claim(NAME if named else WORD, stem, *place, first=first and word[0] != low[0])


def _marked(text: str, found: list[Claim]) -> list[Claim]:
    """Bounds go to the number they touch, negations and agents to the word they are said of; those without one stay by themselves."""
    marks: dict[int, set[str]] = {}
    gone: set[int] = set()
    for i, claim in enumerate(found):
        if not claim.group:
            continue
        said, language = comparison(claim.group)
        follows = said in ("not+", "by") or (said != "not-" and not language.BOUND_FOLLOWS)
        step = 1 if follows else -1
        j = i + step
        while 0 <= j < len(found) and found[j].kind == NEGATED:
            j += step
        other = found[j] if 0 <= j < len(found) else None
        if said in ("not+", "not-", "by"):
            if other is not None:
                marks.setdefault(j, set()).symmetric_difference_update({said.rstrip("+-")})
                gone.add(i)
            elif said == "by":
                gone.add(i)
        elif (
            said != "="
            and other is not None
            and other.kind == NUMBER
            and _between(claim, other, text) <= TOUCHING
            and claim.clause == other.clause
        ):
            marks.setdefault(j, set()).add(claim.value)
            gone.add(i)
    for i in gone & set(marks):  # what is said of a bound is said of its number
        gone.discard(i)
    return [replace(claim, marks=frozenset(marks[i])) if i in marks else claim for i, claim in enumerate(found) if i not in gone]


def _between(one: Claim, other: Claim, text: str) -> int:
    before, after = sorted((one, other), key=lambda claim: claim.start)
    return len(text[before.end : after.start].strip()) + (after.start > before.end)
