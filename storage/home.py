"""Where Migaki keeps things: one folder, named by `MIGAKI_HOME` (default `.migaki/` in the working directory)."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PRIVATE, OTHERS = 0o700, 0o077  # what a folder's owner may do, and what everybody else might


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
    def checks(self) -> Path:
        """Verdicts on models (`tasks.stages.opening`); whatever is removed is checked again."""
        return self.root / "checks"

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
            root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"MIGAKI_HOME {str(root)!r} cannot be created ({error.strerror}); name a writable folder with --home or MIGAKI_HOME"
            ) from error
        if not os.access(root, os.W_OK | os.X_OK):
            raise StorageError(f"MIGAKI_HOME {str(root)!r} is not writable; name a writable folder with --home or MIGAKI_HOME")
        os.umask(0o077)  # of this process and of those that it starts: what a home holds is its owner's alone
        home = cls(root)
        if home.is_loose() and (home.warehouse.exists() or home.objects.exists()):  # else it may be anybody's folder, such as /tmp
            with suppress(PermissionError):  # somebody else's; `migaki doctor` says so
                root.chmod(PRIVATE)
        return home

    def is_loose(self) -> bool:
        """Whether others than its owner may look into the folder."""
        return bool(self.root.stat().st_mode & OTHERS)

    def tighten(self) -> tuple[int, list[Path]]:
        """Take the rights of others from all files and folders of the home; how many had any, and the paths that could not be mended."""
        mended, kept = 0, []
        for path in (self.root, *self.root.rglob("*")):
            with suppress(FileNotFoundError):  # removed meanwhile
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode) or not mode & OTHERS:
                    continue
                try:
                    path.chmod(stat.S_IMODE(mode) & ~OTHERS)
                    mended += 1
                except PermissionError:
                    kept.append(path)
        return mended, kept
