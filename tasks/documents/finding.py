"""Which files are documents: those in the files, folders and globs that somebody named, with the rules that hold for each."""

import hashlib
import json
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from storage.files import sha256_of
from tasks.documents.folder_labels import NOBODY, FolderLabels
from tasks.documents.links import walk
from tasks.errors import MigakiError

KEPT_RULES = ".documents.json"  # in a folder of copies: columns and labels of the files by name


@dataclass(frozen=True)
class DocumentFile:
    """A file of documents: its name below what was given, which columns of a table are what, and who may see what it holds."""

    name: str
    path: Path
    columns: str = ""  # as in "text=answer,title=question"
    labels: tuple[str, ...] = ()  # the text of the nearest .allowed; where a link leads to it, of both sides
    barred: str = ""  # why it is not read

    def digest(self) -> str:
        """SHA-256 of all that decides what is read from it; of the contents alone where nothing else does. What cannot be opened has one too: its reader says why."""
        try:
            contents = hashlib.sha256(self.barred.encode()).hexdigest() if self.barred else sha256_of(self.path)
        except OSError as error:
            contents = hashlib.sha256(f"cannot be opened: {error.strerror}".encode()).hexdigest()
        if not self.columns and not self.labels:
            return contents
        return hashlib.sha256(json.dumps([contents, self.columns, self.labels]).encode()).hexdigest()


def find_documents(specs: list[str], follow_links: bool = False) -> list[DocumentFile]:
    """Everything in the files, folders and globs given, in order, hidden files aside.

    A specification may end in the columns of a table, `faq.csv#text=answer,title=question`. A name is the path below the folder that was
    given; where two folders have the same one, the later is put below its folder's name.

    Args:
        follow_links: whether to read what links inside of a folder point at outside of it; without, they are found as `barred`.

    Raises:
        MigakiError: there is nothing there.
    """
    found: dict[str, DocumentFile] = {}
    labels = FolderLabels()
    for spec in specs:
        place, columns = split_columns(spec)
        root, paths = _reached(place, follow_links)
        kept = _stricter_rules(root)
        for path, barred in paths:
            name, up = path.relative_to(root).as_posix(), root.absolute()
            own = () if barred else tuple(dict.fromkeys((*labels.all_of(path), *kept.get(name, kept.get("", ())))))
            while name in found and found[name].path.resolve() != path.resolve() and up.name:
                name, up = f"{up.name}/{name}", up.parent
            found[name] = DocumentFile(name, path, columns, own, barred)
    return list(found.values())


def keep_rules(files: list[DocumentFile], folder: Path) -> None:
    """Write down columns and labels of files that are copied to `folder` under their names, so that `kept_documents` finds them there."""
    rules = {file.name: {"columns": file.columns, "labels": file.labels} for file in files if file.columns or file.labels}
    if rules:
        (folder / KEPT_RULES).write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")


def kept_documents(folder: Path) -> list[DocumentFile]:
    """The files of a folder that Migaki itself has written, under the rules that `keep_rules` left there, and no others.

    Raises:
        MigakiError: the rules cannot be read.
    """
    if not folder.is_dir():
        return []
    kept = _kept_rules(folder)
    files = [replace(file, labels=(), columns="") for file in find_documents([str(folder)])]
    return [replace(file, **kept.get(file.name, {})) for file in files]


def split_columns(spec: str) -> tuple[str, str]:
    """`faq.csv#text=answer` to ("faq.csv", "text=answer"), what has no columns to (itself, "")."""
    place, _, columns = spec.rpartition("#")
    return (spec, "") if not place or "=" not in columns or Path(spec).exists() else (place, columns)


def _reached(place: str, follow_links: bool) -> tuple[Path, list[tuple[Path, str]]]:
    """(folder that names are told from, files, each with why it is not read) of a file, a folder or a glob."""
    path = Path(place)
    if not path.exists() and (fixed := next((i for i, part in enumerate(path.parts) if set(part) & set("*?[")), None)) is not None:
        root, pattern = Path(*path.parts[:fixed]), path.parts[fixed:]
        if pattern[-1] == "**":
            pattern = (*pattern, "*")
        listed = [
            (path, reason)
            for path, reason in walk(root, follow_links, None if "**" in pattern else len(pattern))
            if _fits(path.relative_to(root).parts, pattern, begins=bool(reason) and path.is_dir())
        ]
    else:
        root = path
        if not root.exists():
            raise MigakiError(f"prepare.documents: {place!r} does not exist (looked from {str(Path.cwd())!r})")
        if not root.is_dir():
            return root.parent, [(root, "")]
        listed = list(walk(root, follow_links))
    if not listed and root != path:
        raise MigakiError(f"prepare.documents: {place!r} matches no file (looked from {str(Path.cwd())!r})")
    return root, sorted(listed)


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...], begins: bool) -> bool:
    """Whether a path fits a glob, or, where it only `begins` one, what is below it could."""
    if not parts or not pattern:
        return not pattern if not parts and not begins else begins and not parts
    if pattern[0] == "**":
        return any(_fits(parts[skipped:], pattern[1:], begins) for skipped in range(len(parts) + 1))
    return fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:], begins)


def _kept_rules(folder: Path) -> dict[str, dict[str, Any]]:
    """What `keep_rules` wrote, by name. Datasets of earlier versions have one label each."""
    kept = folder / KEPT_RULES
    try:
        rules = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        return {name: {"columns": rule["columns"], "labels": _labels_of(rule)} for name, rule in rules.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MigakiError(f"{str(kept)!r}, which says who may see the documents beside it, cannot be read: {error}") from error


def _labels_of(rule: dict[str, Any]) -> tuple[str, ...]:
    labels = rule["labels"] if "labels" in rule else [] if rule.get("label") is None else [rule["label"]]
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels are texts in a list, not {labels!r}")
    return tuple(labels)


def _stricter_rules(root: Path) -> dict[str, tuple[str, ...]]:
    """The labels in such a file where somebody else may have put it: they hold beside those of the folders, so it closes documents and opens none.
    One that cannot be read closes all, under the name ""."""
    if not (root / KEPT_RULES).is_symlink() and not (root / KEPT_RULES).exists():
        return {}
    try:
        return {name: rule["labels"] for name, rule in _kept_rules(root).items()}
    except MigakiError:
        return {"": (NOBODY,)}
