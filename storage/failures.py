"""What ails a disk or the catalog's file, as one message that says what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from storage.home import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("No space left on device", "Disk quota exceeded", "database or disk is full")  # of DuckDB, SQLite and others
# Of a statement that is right: the file is not what DuckDB wrote.
DAMAGE = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException, duckdb.SerializationException)


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, says that no room is left."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if (isinstance(error, OSError) and error.errno in FULL) or any(words in str(error) for words in FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_space(folder: Path, while_doing: str) -> StorageError:
    return StorageError(
        f"no space left under {str(folder)!r} while {while_doing}; nothing of it was kept, and what was there before is as it was. "
        "Free some space (`migaki prune --dry-run` shows what nobody needs) and run again"
    )


@contextmanager
def of_catalog(path: Path) -> Iterator[None]:
    """Raises StorageError in place of DuckDB's and the system's errors about the catalog's file."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if disk_is_full(error):
            raise no_space(path.parent, f"writing the catalog {path.name!r}") from error
        if isinstance(error, DAMAGE):
            first = str(error).partition("\n")[0]
            raise StorageError(
                f"the catalog {path.name!r} is damaged: {first}. Move it away (together with {path.name + '.wal'!r}, if there is one) and run "
                "`migaki status --rebuild` to make it anew from the artifacts; promotions and chats are in it alone"
            ) from error
        if isinstance(error, OSError) and Path(str(error.filename)).name.startswith(path.name):  # a folder, or somebody else's file
            raise StorageError(f"{str(error.filename)!r} cannot be used: {error.strerror}; move it away, or make it yours") from error
        raise
