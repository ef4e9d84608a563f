"""Files are read in processes of their own: one that hangs, crashes its reader or eats the memory costs that file, not the index.

Every file, whatever its kind: starting a process takes a tenth of a second, once, and a megabyte of HTML can be nested so deep that parsing
takes minutes. The processes end themselves when time is up, by an alarm of the kernel's that no parser can hold off, so none
is left behind by a parent that was killed.
"""

import json
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile

from tasks.documents.finding import DocumentFile
from tasks.documents.formats import MAX_UNPACKED, known_encoding
from tasks.documents.parsed import Unreadable
from tasks.documents.rows import Columns, Document
from tasks.documents.sandbox import unpacked
from tasks.processes import child_environment

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 2 << 30  # bytes of address space of one process
AHEAD = 8  # files per process that are read before they are asked for


def read_all(
    files: Iterable[DocumentFile],
    time_limit: float = 60,
    encoding: str | None = None,
    workers: int = 1,
    memory: int = MEMORY,
    unpacked_bytes: int = MAX_UNPACKED,
) -> Iterator[Document]:
    """(name, document) of all files in their order, of a table's rows in theirs; `Unreadable` stands for what cannot be read.

    Args:
        time_limit: seconds for one file.
        encoding: of text files; None tells each one's from its bytes.
        workers: processes that read at the same time.
        memory: bytes that each may take.
        unpacked_bytes: that a packed file may become.

    Raises:
        MigakiError: there is no such encoding, or the columns of a table are said in another form.
    """
    files = list(files)
    known_encoding(encoding)
    for file in files:
        Columns.of(file.columns)
    readers = [Reader(time_limit, encoding, memory, unpacked_bytes) for _ in range(min(workers, len(files)))]
    idle: SimpleQueue[Reader] = SimpleQueue()
    for reader in readers:
        idle.put(reader)

    def read(file: DocumentFile) -> list[Document]:
        reader = idle.get()
        try:
            return reader.read(file)
        finally:
            idle.put(reader)

    pool = ThreadPoolExecutor(max(1, len(readers)), thread_name_prefix="read")
    waiting: deque[Future[list[Document]]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(read, file))
            if len(waiting) > AHEAD * len(readers):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:  # also where nobody wants the rest
        for future in waiting:
            future.cancel()
        for reader in readers:
            reader.stop()
        pool.shutdown()
        for reader in readers:
            reader.stop()


class Reader:
    """A process that reads one file after another, started when there is one and again after a file that ended it."""

    def __init__(self, seconds: float, encoding: str | None, memory: int, unpacked_bytes: int):
        self.seconds, self.encoding, self.memory, self.unpacked_bytes = seconds, encoding, memory, unpacked_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, file: DocumentFile) -> list[Document]:
        """The documents of a file, or why there are none."""
        if file.barred:
            return [(file.name, Unreadable(file.barred))]
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None  # `_start` made pipes of both
        job = {"name": file.name, "path": str(file.path.absolute()), "columns": file.columns, "labels": file.labels}
        reply = b""
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            reply = process.stdout.readline()
        if not reply.endswith(b"\n"):
            return [(file.name, Unreadable(self._why_it_ended(process)))]
        return [(name, unpacked(value)) for name, value in json.loads(reply)]

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors = TemporaryFile()  # noqa: SIM115 (open as long as the process)
        command = [
            sys.executable,
            "-m",
            "tasks.documents.sandbox",
            json.dumps([self.seconds, self.encoding, self.memory, self.unpacked_bytes]),
        ]
        self._process = subprocess.Popen(
            command, env=child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, cwd=ROOT
        )
        return self._process

    def _why_it_ended(self, process: subprocess.Popen[bytes]) -> str:
        code = process.wait()
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.stop()
        if code == -signal.SIGALRM:
            return f"reading it took longer than {self.seconds:g} s"
        if code < 0:
            return f"its reader was ended by {signal.Signals(-code).name}: the file is damaged, or needs more than {self.memory:,} bytes of memory"
        return f"its reader ended with {code}: {last}"

    def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None and process.stdout is not None  # `_start` made pipes of both
            process.stdin.close()
            process.stdout.close()
            self._errors.close()
