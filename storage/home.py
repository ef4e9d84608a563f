"""Where Migaki keeps things: one folder, named by `MIGAKI_HOME` (default `.migaki/` in the working directory)."""

import os
from dataclasses import dataclass
from pathlib import Path


class StorageError(Exception):
    """Something about the store that a user can mend; the message says what and how."""


@dataclass(frozen=True)
class Home:
    """The folder tree under `MIGAKI_HOME`. Artifact addresses are relative to `root`, so the tree can be moved or mounted elsewhere."""

    root: Path

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def exports(self) -> Path:
        """Embedders quantized to int8, made once per model: a model's own folder may be somebody else's, or read-only."""
        return self.models / "onnx-int8"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @classmethod
    def current(cls) -> "Home":
        """The home that `MIGAKI_HOME` names, created when missing.

        Raises:
            StorageError: the folder cannot be created or written.
        """
        root = Path(os.environ.get("MIGAKI_HOME") or ".migaki").expanduser().absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"MIGAKI_HOME {str(root)!r} cannot be created ({error.strerror}); name a writable folder with --home or MIGAKI_HOME"
            ) from error
        if not os.access(root, os.W_OK | os.X_OK):
            raise StorageError(f"MIGAKI_HOME {str(root)!r} is not writable; name a writable folder with --home or MIGAKI_HOME")
        return cls(root)
