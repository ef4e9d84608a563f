"""Checkpoints of unfinished stages: one file per key, whole or absent, gone when the artifact is there."""

import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from storage.files import replacing
from storage.home import Home

KEPT_DAYS = 14  # of a run that nobody went on with


class Checkpoint:
    """The file that a killed stage of this key goes on from."""

    def __init__(self, home: Home, key: str):
        self.path = home.root / "checkpoints" / f"{key}.pt"

    def replacing(self) -> AbstractContextManager[Path]:
        """A path to write the next state to; it takes the file's place at the end of the block and not before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return replacing(self.path)

    def drop(self) -> None:
        """Remove it with what killed writers left of it, and whatever other runs left behind long ago."""
        for path in self.path.parent.glob("*"):
            with suppress(FileNotFoundError):  # another process renamed or removed it meanwhile
                if path.name.partition(".")[0] == self.path.stem or path.stat().st_mtime < time.time() - 86400 * KEPT_DAYS:
                    path.unlink()
