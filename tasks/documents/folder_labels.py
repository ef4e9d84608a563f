"""Who may see a folder of documents, by the file `.allowed` in it or in a folder above."""

import os
import stat
from pathlib import Path

ALLOWED = ".allowed"  # in a folder of documents: who may see everything below it, unless a nearer one or the document itself says so
NOBODY = ""  # the text of a label that cannot be read, which lets nobody in
LONGEST = 64 * 1024  # bytes of such a file


class FolderLabels:
    """The labels of folders, each looked for once."""

    def __init__(self) -> None:
        self._known: dict[Path, str | None] = {}
        self._links: dict[Path, list[Path]] = {}

    def of(self, folder: Path) -> str | None:
        """The text of the nearest `.allowed` at or above a folder, or `NOBODY` where that cannot be read; None where there is none."""
        waiting = [folder]
        while waiting[-1] not in self._known and (waiting[-1].parent != waiting[-1]):
            waiting.append(waiting[-1].parent)
        for place in reversed(waiting):
            if place not in self._known:
                own = _own(place)
                self._known[place] = self._known.get(place.parent) if own is None else own
        return self._known[folder]

    def all_of(self, path: Path) -> tuple[str, ...]:
        """Those that hold for a file: of the folder that it really stands in, and of those in which the links stand that lead there."""
        path = path.absolute()
        links = [*self._links_to(path.parent), *([path.parent] if path.is_symlink() else [])]
        found = [self.of(place) for place in (path.resolve().parent, *links)]
        return tuple(dict.fromkeys(label for label in found if label is not None))

    def _links_to(self, folder: Path) -> list[Path]:
        """The folders in which the links stand that lead to a folder."""
        if folder not in self._links:
            self._links[folder] = [place.parent for place in (folder, *folder.parents) if place.is_symlink()]
        return self._links[folder]


def _own(folder: Path) -> str | None:
    """The text of a folder's own `.allowed`. A link to nowhere, a folder, a device, what is no text or far too long, and a file that was
    plainly meant as one (`.Allowed`, `.allowed.txt`) say that not everybody may see what is there, but not who."""
    rule = folder / ALLOWED
    try:
        rule.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return NOBODY if _meant(folder) else None
    except OSError:
        return NOBODY
    try:
        about = rule.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LONGEST:
            return NOBODY
        return rule.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return NOBODY


def _meant(folder: Path) -> bool:
    try:
        return any(name.lower().startswith(ALLOWED) for name in os.listdir(folder))
    except OSError:
        return False  # whose files cannot be listed
