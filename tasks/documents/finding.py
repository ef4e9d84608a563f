"""Which files are documents: those in the files, folders and globs that somebody named, with the rules that hold for each."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.files import sha256_of
from tasks.errors import MigakiError

ALLOWED = ".allowed"  # in a folder of documents: who may see everything below it, unless a nearer one or the document itself says so
KEPT_RULES = ".documents.json"  # in a folder of copies: columns and labels of the files by name


@dataclass(frozen=True)
class DocumentFile:
    """A file of documents: its name below what was given, which columns of a table are what, and who may see what it holds."""

    name: str
    path: Path
    columns: str = ""  # as in "text=answer,title=question"
    label: str | None = None  # the text of the nearest .allowed

    def digest(self) -> str:
        """SHA-256 of all that decides what is read from it; of the contents alone where nothing else does. What cannot be opened has one too: its reader says why."""
        try:
            contents = sha256_of(self.path)
        except OSError as error:
            contents = hashlib.sha256(f"cannot be opened: {error.strerror}".encode()).hexdigest()
        if not self.columns and self.label is None:
            return contents
        return hashlib.sha256(json.dumps([contents, self.columns, self.label]).encode()).hexdigest()


def find_documents(specs: list[str]) -> list[DocumentFile]:
    """Everything in the files, folders and globs given, in order, hidden files aside.

    A specification may end in the columns of a table, `faq.csv#text=answer,title=question`. A name is the path below the folder that was
    given; where two folders have the same one, the later is put below its folder's name.

    Raises:
        MigakiError: there is nothing there.
    """
    found: dict[str, DocumentFile] = {}
    labels: dict[Path, str | None] = {}
    for spec in specs:
        place, columns = split_columns(spec)
        root, paths = _reached(place)
        kept = _kept_rules(root)
        for path in paths:
            name, up = path.relative_to(root).as_posix(), root.absolute()
            rule = kept.get(name, {"columns": columns, "label": _folder_label(path.absolute().parent, labels)})
            while name in found and found[name].path.resolve() != path.resolve() and up.name:
                name, up = f"{up.name}/{name}", up.parent
            found[name] = DocumentFile(name, path, **rule)
    return list(found.values())


def keep_rules(files: list[DocumentFile], folder: Path) -> None:
    """Write down columns and labels of files that are copied to `folder` under their names, so that `find_documents` finds them there."""
    rules = {file.name: {"columns": file.columns, "label": file.label} for file in files if file.columns or file.label is not None}
    if rules:
        (folder / KEPT_RULES).write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")


def split_columns(spec: str) -> tuple[str, str]:
    """`faq.csv#text=answer` to ("faq.csv", "text=answer"), what has no columns to (itself, "")."""
    place, _, columns = spec.rpartition("#")
    return (spec, "") if not place or "=" not in columns or Path(spec).exists() else (place, columns)


def _reached(place: str) -> tuple[Path, list[Path]]:
    """(folder that names are told from, files) of a file, a folder or a glob."""
    path = Path(place)
    if not path.exists() and (fixed := next((i for i, part in enumerate(path.parts) if set(part) & set("*?[")), None)) is not None:
        root, pattern = Path(*path.parts[:fixed]), "/".join(path.parts[fixed:])
        found = root.glob(f"{pattern}/*" if pattern.endswith("**") else pattern)
    else:
        root = path
        if not root.exists():
            raise MigakiError(f"prepare.documents: {place!r} does not exist (looked from {str(Path.cwd())!r})")
        if not root.is_dir():
            return root.parent, [root]
        found = root.rglob("*")
    files = sorted(path for path in found if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts))
    if not files and root != path:
        raise MigakiError(f"prepare.documents: {place!r} matches no file (looked from {str(Path.cwd())!r})")
    return root, files


def _folder_label(folder: Path, known: dict[Path, str | None]) -> str | None:
    """The text of the nearest .allowed at or above a folder; what cannot be read is an empty label, which lets nobody in."""
    if folder not in known:
        rule = folder / ALLOWED
        try:
            known[folder] = rule.read_text(encoding="utf-8") if rule.exists() else None
        except (OSError, UnicodeDecodeError):
            known[folder] = ""
        if known[folder] is None and folder.parent != folder:
            known[folder] = _folder_label(folder.parent, known)
    return known[folder]


def _kept_rules(root: Path) -> dict[str, dict[str, Any]]:
    """What `keep_rules` wrote, by name."""
    kept = root / KEPT_RULES
    try:
        return json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    except (OSError, ValueError) as error:
        raise MigakiError(f"{str(kept)!r}, which says who may see the documents beside it, cannot be read: {error}") from error
