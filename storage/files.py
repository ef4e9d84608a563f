"""What is done to files everywhere."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside a file to write its next contents to; they take the file's place at the end of the block, on the disk and all at once.

    Nothing remains of a block that raises, and the file stays as it was. What a killed process leaves is called `NAME.*.tmp`.
    """
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut could leave the new name with none of the contents
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
