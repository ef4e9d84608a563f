"""Access labels: which groups may see a document. A label that cannot be understood closes the document; it never opens it."""

import re

from tasks.documents.parsed import Unreadable

EVERYONE = ("*",)
GROUP = re.compile(r"[\w.@:+/-]+( [\w.@:+/-]+)*")


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
    raise Unreadable(f"{where} does not say who may see it: {label!r}; name groups, as in [sales, board], or * for everyone")


def settle(own: tuple[str, ...], folder: tuple[str, ...]) -> tuple[str, ...]:
    """What holds of a document's own label and its folder's: the nearer one. Empty is everyone."""
    nearer = own or folder
    return () if nearer == EVERYONE else nearer
