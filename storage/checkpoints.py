"""Checkpoints of unfinished stages: one file per key, whole or absent, gone when the artifact is there."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.home import Home

KEPT_DAYS = 14  # of a run that nobody went on with


class Checkpoint:
    """The file that a killed stage of this key goes on from."""

    def __init__(self, home: Home, key: str):
        self.path = home.root / "checkpoints" / f"{key}.pt"

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """A path to write the next state to; it takes the file's place at the end of the block and not before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".tmp-{uuid.uuid4().hex[:8]}")
        try:
            yield draft
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove it with what killed writers left of it, and whatever other runs left behind long ago."""
        for path in self.path.parent.glob("*"):
            with suppress(FileNotFoundError):  # another process renamed or removed it meanwhile
                if path.stem == self.path.stem or path.stat().st_mtime < time.time() - 86400 * KEPT_DAYS:
                    path.unlink()
