"""Content-addressed artifacts: folders that are whole or absent.

An artifact is written into `objects/<kind>/<key>.tmp-<run>/`, gets a `manifest.json` with the SHA-256 of every file as its last
act, and is renamed to `objects/<kind>/<key>/`. A leftover folder of a killed writer is told from a living one by the lock that
its writer holds inside, and swept. An artifact is believed only when its manifest is there and its checksums hold.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from storage.files import sha256_of
from storage.home import Home, StorageError
from storage.kinds import RECORDS, Kind
from storage.locks import locked, try_lock

Manifest = dict[str, Any]  # what `manifest.json` holds
MANIFEST = "manifest.json"
ID = re.compile(r"[0-9A-Za-z_-]*")
WRITER_LOCK = ".writer.lock"


class ArtifactRef(BaseModel):
    """What passes between stages instead of data: a name for an artifact, never the thing itself."""

    id: str
    kind: Kind
    uri: str  # relative to MIGAKI_HOME
    meta: dict[str, Any] = Field(default_factory=dict)


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class ArtifactStore:
    """The folder `objects/` of a home."""

    def __init__(self, home: Home):
        self.home = home

    def path(self, ref: ArtifactRef) -> Path:
        return self.home.root / ref.uri

    def find(self, kind: Kind, key: str) -> ArtifactRef | None:
        """The artifact if it is there and whole; a damaged one is removed, so that it is made again."""
        folder = self.home.objects / kind / key
        if not folder.is_dir():
            return None
        manifest = read_manifest(folder)
        if manifest is None or not holds(folder, manifest):
            shutil.rmtree(folder)
            return None
        return reference(manifest)

    def is_whole(self, kind: Kind, key: str) -> bool:
        """Whether the artifact is there with all its checksums; a damaged one stays as it is."""
        folder = self.home.objects / kind / key
        manifest = read_manifest(folder)
        return manifest is not None and holds(folder, manifest)

    def discard(self, kind: Kind, key: str) -> None:
        """Remove an artifact that cannot be believed, or that nobody needs. Its manifest goes first: half removed, it is none."""
        folder = self.home.objects / kind / key
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def manifests(self) -> Iterator[dict[str, Any]]:
        """The manifests of all artifacts, oldest first. Folders without one are passed over."""
        kept = [
            manifest
            for path in self.home.objects.glob("*/*/" + MANIFEST)
            if ".tmp-" not in path.parent.name and (manifest := read_manifest(path.parent))
        ]
        yield from sorted(kept, key=lambda manifest: manifest["created"])

    def get(self, artifact_id: str) -> ArtifactRef:
        """The artifact of that id, or of the only id that begins so.

        Raises:
            StorageError: none or several match.
        """
        found = (
            self.home.objects.glob(f"*/{artifact_id}*") if ID.fullmatch(artifact_id) else ()
        )  # an id is no path: a run's parameters name some
        matches = [path for path in found if (path / MANIFEST).exists() and ".tmp-" not in path.name]
        if len(matches) != 1:
            raise StorageError(
                f"{len(matches)} artifacts match the id {artifact_id!r} under {self.home.objects}; `migaki status` lists them"
            )
        if (manifest := read_manifest(matches[0])) is None:
            raise StorageError(f"the manifest of artifact {matches[0].name[:12]!r} is damaged: run its stage again, which makes it anew")
        return reference(manifest)

    @contextmanager
    def draft(self, kind: Kind, key: str) -> Iterator[Path]:
        """A folder to write an artifact into. Call `commit` on it inside the block; without that nothing remains of it.

        Raises:
            StorageError: the disk is full.
        """
        parent = self.home.objects / kind
        parent.mkdir(parents=True, exist_ok=True)
        self.sweep()
        folder = parent / f"{key}.tmp-{uuid.uuid4().hex[:12]}"
        lock: int | None = None
        try:  # around its making too: an interrupt may come at any moment
            with self._housekeeping():
                folder.mkdir()
                lock = try_lock(folder / WRITER_LOCK)
            assert lock is not None, "nobody else knows the folder yet"
            yield folder
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageError(
                    f"no space left under {self.home.objects} while writing an artifact of kind {kind!r}; nothing of it was kept. "
                    "Free some space (`migaki status` shows what is there) and run again"
                ) from error
            raise
        finally:
            if lock is not None:
                os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, folder: Path, manifest: dict[str, Any]) -> ArtifactRef:
        """Seal the draft in `folder`: list its files with their checksums, write the manifest, rename.

        Raises:
            StorageError: the manifest's `meta` is no record of the artifact's kind.
        """
        if folder.parent.name in RECORDS:
            RECORDS[folder.parent.name].of(manifest["meta"], f"what was to be committed as {folder.parent.name!r}")
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != WRITER_LOCK):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        key = folder.name.partition(".tmp-")[0]
        manifest = manifest | {"id": key, "kind": folder.parent.name, "uri": f"objects/{folder.parent.name}/{key}", "files": files}
        with (folder / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(manifest, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        with self._housekeeping():
            (folder / WRITER_LOCK).unlink()
            if not (folder.parent / key).exists():  # else somebody finished the same artifact first: keep theirs
                folder.rename(folder.parent / key)
        return reference(manifest)

    def sweep(self) -> None:
        """Remove the drafts whose writers are gone."""
        with self._housekeeping():
            for folder in self.home.objects.glob("*/*.tmp-*"):
                with suppress(FileNotFoundError):  # its writer may remove it at this moment
                    lock = try_lock(folder / WRITER_LOCK)
                    if lock is not None:
                        shutil.rmtree(folder, ignore_errors=True)
                        os.close(lock)

    def _housekeeping(self) -> AbstractContextManager[None]:
        """Drafts appear, are sealed and are swept one at a time: in between, a living draft could look like a dead one."""
        return locked(self.home.objects / ".lock")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest


def holds(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether every file that the manifest lists is there with its size and checksum."""
    for name, fact in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != fact["bytes"] or sha256_of(path) != fact["sha256"]:
            return False
    return True


def reference(manifest: dict[str, Any]) -> ArtifactRef:
    return ArtifactRef(id=manifest["id"], kind=manifest["kind"], uri=manifest["uri"], meta=manifest["meta"])
