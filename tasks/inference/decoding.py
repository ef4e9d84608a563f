"""The thread that decodes: requests wait, join the batch, are told their text as it comes, and leave."""

import threading
from collections import deque

from tasks.inference.backend import Tally, Unavailable
from tasks.inference.batching import ContinuousBatch
from tasks.inference.locks import ForwardLock
from tasks.inference.request import CLOSED, CROWDED, Request
from tasks.inference.rows import Row


class Decoding:
    """The decoding thread and what waits for it. Knows nothing of `LocalModel`, so that one which nobody uses any more can end it."""

    def __init__(self, batch: ContinuousBatch, lock: ForwardLock, max_waiting: int, tally: Tally):
        self.batch, self.lock, self.max_waiting, self.tally = batch, lock, max_waiting, tally
        self.waiting: deque[Request] = deque()
        self.running: dict[Row, Request] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, request: Request) -> None:
        with self._changed:
            if self._closed:
                raise Unavailable(CLOSED)
            if len(self.waiting) >= self.max_waiting:
                raise Unavailable(CROWDED.format(self.max_waiting))
            self.waiting.append(request)
            self.tally.add(requests=1, prompt_tokens=len(request.row.prompt))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the thread; what it was answering fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait():
                try:
                    self._admit()
                    self._step()
                except Exception as error:
                    self._fail(error)
        finally:
            self._fail(Unavailable(CLOSED), everyone=True)

    def _wait(self) -> bool:
        """Sleep until there is something to do. False when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.waiting or self.running)
            return not self._closed

    def _admit(self) -> None:
        """Those who are not wanted any more go; those who waited longest join while there is room."""
        with self._changed:
            for request in [request for request in self.waiting if request.unwanted]:
                self.waiting.remove(request)
                request.end("stopped")
        for row in [row for row, request in self.running.items() if request.unwanted]:
            row.reason = "stopped"
            self._let_go(row)
        while self.waiting and self.batch.has_room(self.waiting[0].row):
            request = self.waiting.popleft()
            self.running[request.row] = request
            self.batch.join(request.row)

    def _step(self) -> None:
        if not self.running:
            return
        with self.lock.priority():
            given = self.batch.step()
        self.tally.add(tokens=len(given), steps=1)  # before any of it is told
        for row, token in given:
            self.running[row].add(token)
        for row in [row for row in self.running if row.reason]:
            self._let_go(row)

    def _let_go(self, row: Row) -> None:
        self.batch.leave(row)
        self.tally.add(reused_tokens=row.reused)
        self.running.pop(row).end(row.reason or "stopped")

    def _fail(self, error: Exception, everyone: bool = False) -> None:
        """Those who are being answered fail, or `everyone`, those who wait too."""
        with self._changed:
            failed = [*self.running.values(), *(self.waiting if everyone else ())]
            self.running = {}
            if everyone:
                self.waiting.clear()
        self.batch.clear()
        self.tally.add(failed=len(failed))
        for request in failed:
            request.fail(error)
