"""The process that reads files for `tasks.documents.reading`. It imports no more than it must, for it starts often."""

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.documents.formats import read_file
from tasks.documents.parsed import Parsed, Section, Unreadable


def packed(document: Parsed | Unreadable) -> dict[str, Any] | str:
    """A document as JSON takes it; a reason is a string."""
    return str(document) if isinstance(document, Unreadable) else asdict(document)


def unpacked(value: dict[str, Any] | str) -> Parsed | Unreadable:
    """The document that `packed` packed."""
    if isinstance(value, str):
        return Unreadable(value)
    sections = [Section(**section) for section in value["sections"]]
    return Parsed(value["title"], sections, tuple(value["allowed"]), value["meta"])


def main() -> None:
    """Jobs come in on standard input, replies go out, a line each."""
    seconds, encoding, memory, unpacked_bytes = json.loads(sys.argv[1])
    with suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the replies
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        reply = json.dumps(_read(json.loads(line), encoding, unpacked_bytes), ensure_ascii=False).encode(
            errors="replace"
        )  # "?" for half a character
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(reply + b"\n")
        replies.flush()


def _read(job: dict[str, Any], encoding: str | None, unpacked_bytes: int) -> list[tuple[str, dict[str, Any] | str]]:
    try:
        found = read_file(job["name"], Path(job["path"]), job["columns"], job["labels"], encoding, unpacked_bytes)
        return [(name, packed(document)) for name, document in found]
    except MemoryError:
        return [(job["name"], "reading it takes more memory than it may")]
    except Exception as error:  # whatever a parser raises is that file's fault, and the next one is waiting
        return [(job["name"], f"its reader failed: {type(error).__name__}: {error}")]


if __name__ == "__main__":
    main()
