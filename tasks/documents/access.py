"""Access labels: which groups may see a document. A label that cannot be understood closes the document; it never opens it."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from difflib import SequenceMatcher

from tasks.documents.parsed import Unreadable

LABEL = "allowed"
EVERYONE = ("*",)
GROUP = re.compile(r"[\w.@:+/-]+( [\w.@:+/-]+)*")
BOTH = " & "  # between groups of which somebody needs each; no group's name holds it
# Names that were surely meant as a label, but are none: allowed_groups, allow, not-allowed.
MEANT = re.compile(
    r"(dis|un|not_?|is_?)?allow(ed|s|ing)?"
    r"(_?(for|to|by|only))?(_?(access|group|role|user|team|reader|viewer|member|people|person|department|division|list)s?)?(_?ids?)?"
)
ALIKE = 0.85  # likeness of a slip of the pen, such as "alowed", as difflib has it
QUOTES = "\"'`“”‘’「」『』*_"
# The beginning of a line that names groups: in YAML, TOML, JSON or by hand.
NAMED = re.compile(
    rf"[\s\ufeff\u200b>{{,+%;/!*-]*(?:#\+)?(?P<key>[{QUOTES}]*[^\W\d_][\w.\t \u3000\u200b-]{{0,30}}[{QUOTES}]*)[ \t\u3000]*[:=：＝]"
)


def key_of(name: object) -> str:
    """A name as labels are compared by: without case, width, quotes, spaces around it and characters that nobody sees; "_" between its words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", unicodedata.normalize("NFKC", str(name)))
    text = "".join(letter for letter in text if unicodedata.category(letter) not in ("Cf", "Cc") or letter.isspace())
    return re.sub(r"[\s._-]+", "_", text.strip().strip(QUOTES).strip().casefold())


def looks_like_label(name: object) -> bool:
    """Whether a name is that of a label, or one that was meant to be."""
    key = key_of(name)
    return bool(MEANT.fullmatch(key)) or (
        5 <= len(key) <= 9 and key[:1] != "h" and SequenceMatcher(None, key, LABEL).ratio() >= ALIKE  # "hallowed" is a word
    )


def label_names(text: str) -> list[str]:
    """The names with which lines of a text begin that look as if they said who may see it."""
    return [name for line in text.splitlines() if (found := NAMED.match(line)) and looks_like_label(name := found["key"].strip())]


def label_in(said: Mapping[str, object], where: str) -> tuple[str, ...]:
    """The groups in what a document, or a row of a table, says of itself; () where it has no label.

    Raises:
        Unreadable: what looks like a label cannot be read, stands twice, under another name, or inside of something else.
    """
    names = [name for name in said if looks_like_label(name)]
    if wrong := [name for name in names if key_of(name) != LABEL]:
        raise Unreadable(f"{where} has {wrong[0]!r}, which looks like a label of who may see it; it is read under the name {LABEL!r} alone")
    if len(names) > 1:
        raise Unreadable(f"{where} says twice who may see it: {', '.join(map(repr, names))}")
    if any(_labels_inside(value) for name, value in said.items() if name not in names):
        raise Unreadable(f"{where} has a label inside of something else; {LABEL!r} must stand by itself, under nothing")
    return groups_of(said[names[0]], where) if names else ()


def _labels_inside(value: object) -> bool:
    """Whether a value of JSON's kind, however deep, holds a label. Parts that stand in it more than once are looked at once."""
    waiting, seen = [value], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen or not isinstance(part, dict | list):
            continue
        seen.add(id(part))
        if isinstance(part, dict) and any(looks_like_label(name) for name in part):
            return True
        waiting += part.values() if isinstance(part, dict) else part
    return False


def groups_of(label: object, where: str) -> tuple[str, ...]:
    """The groups of a label: a list of names, or names with commas or line ends between them; "*" alone is `EVERYONE`.

    Raises:
        Unreadable: no group, or what is no group's name; `where` says whose label it is.
    """
    names = re.split(r"[,、\n]", label.strip()) if isinstance(label, str) else label
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        groups = tuple(dict.fromkeys(name.strip() for name in names))
        if groups == EVERYONE or all(GROUP.fullmatch(group) for group in groups):
            return groups
    raise Unreadable(f"{where} does not say who may see it: {label!r:.100}; name groups, as in [sales, board], or * for everyone")


def settle(own: tuple[str, ...], folder: tuple[str, ...]) -> tuple[str, ...]:
    """What holds of a document's own label and its folder's: the nearer one. Empty is everyone."""
    nearer = own or folder
    return () if nearer == EVERYONE else nearer


def together(labels: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The label of what several hold for at once, as of a link's folder and of the folder that it leads to: who satisfies each of them."""
    needed: list[frozenset[str]] = [frozenset()]
    for label in labels:
        if label and label != EVERYONE:
            needed = [groups | set(group.split(BOTH)) for groups in needed for group in label]
    least = [groups for groups in needed if not any(other < groups for other in needed)]
    return tuple(dict.fromkeys(BOTH.join(sorted(groups)) for groups in least if groups)) or (EVERYONE if labels else ())


def admits(label: Collection[str], groups: Collection[str]) -> bool:
    """Whether a person of these groups may see what has that label; a label of none is for everyone."""
    return not label or any(all(group in groups for group in entry.split(BOTH)) for entry in label)
