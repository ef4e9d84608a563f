"""What there is to read in a file, a folder or a glob, told cheaply: by what the file system says of each file, without opening any."""

import hashlib
import json
from dataclasses import dataclass

from tasks.documents.finding import DocumentFile, find_documents
from tasks.documents.parsed import SUFFIXES

OPEN_IN_WORD = "~$"  # how the files begin that Word leaves beside a document while somebody has it open


@dataclass(frozen=True)
class Listed:
    """A file of documents, and a mark that changes whenever what is read from it may have changed."""

    file: DocumentFile
    mark: str


def listed(spec: str) -> dict[str, Listed]:
    """The files that an index of `spec` would read, by their paths, and the folders in which it would find what it cannot open.

    What only stands in its lists of skipped files is left out: links that it does not follow, and files of no format that it reads, such as
    copies under way (`a.pdf.part`) and what editors keep beside a file (`a.md~`).

    Args:
        spec: as `find_documents` takes it.

    Raises:
        MigakiError: there is nothing there.
        OSError: the file system does not say what there is.
    """
    found = {}
    for file in find_documents([spec]):
        if file.barred:
            if not file.path.is_symlink():
                found[str(file.path)] = Listed(file, file.barred)
        elif file.path.suffix.lower() in SUFFIXES and not file.path.name.startswith(OPEN_IN_WORD):
            try:
                found[str(file.path)] = Listed(file, _mark(file))
            except FileNotFoundError:  # removed since the folder was read
                continue
    return found


def _mark(file: DocumentFile) -> str:
    """Size, times in ns, inode, and by their hash the rules that hold for the file. The time of its inode tells of a write after which somebody put the other back."""
    about = file.path.stat()
    rules = hashlib.sha256(json.dumps([file.columns, file.labels]).encode()).hexdigest()[:16] if file.columns or file.labels else ""
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino} {rules}".rstrip()
