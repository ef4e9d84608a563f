"""The thread that decodes: requests wait, join the batch, are told their text as it comes, and leave."""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.backend import Delta, Reason, Tally, Unavailable
from tasks.inference.batching import Batch, Row
from tasks.inference.turns import OneAtATime

BROKEN = "\ufffd"
LONGEST_CHARACTER = 8  # tokens; what is still no character after so many never becomes one
CLOSED = "the model was closed: it answers no more"
CROWDED = "{} questions are waiting already, the most there may be: ask again in a moment"


class Pieces:
    """Tokens to text, as they come. What is not a whole character yet is held back: a Japanese one may take three tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer, self.ids = tokenizer, []
        self._from, self._said = 0, 0  # text is decoded from the one token on, and said up to the other

    def add(self, token: int) -> str:
        self.ids.append(token)
        before, text = self._texts()
        if text.endswith(BROKEN) and len(self.ids) - self._said < LONGEST_CHARACTER:
            return ""
        self._from, self._said = self._said, len(self.ids)
        return text[len(before) :]

    def rest(self) -> str:
        """What was held back, without a character that is cut off."""
        before, text = self._texts()
        self._said = len(self.ids)
        return text[len(before) :].rstrip(BROKEN)

    def _texts(self) -> tuple[str, str]:
        """Some tokens before are decoded again: what a token's text is can depend on its neighbour (spaces, in some tokenizers)."""
        return self._decode(self.ids[self._from : self._said]), self._decode(self.ids[self._from :])

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@dataclass(eq=False)
class Request:
    """A row and the one who waits for it."""

    row: Row
    pieces: Pieces
    stop: threading.Event
    left: threading.Event = field(default_factory=threading.Event)  # nobody reads on
    out: "queue.SimpleQueue[Delta | MigakiError]" = field(default_factory=queue.SimpleQueue)
    untold: int = 0  # tokens generated since the last delta

    @property
    def unwanted(self) -> bool:
        return self.stop.is_set() or self.left.is_set()

    def deltas(self) -> Iterator[Delta]:
        """What comes, to the end. Leaving early says that nobody reads on."""
        try:
            while True:
                delta = self.out.get()
                if isinstance(delta, MigakiError):
                    raise delta
                yield delta
                if delta.reason:
                    return
        finally:
            self.left.set()

    def add(self, token: int) -> None:
        """A token was generated (and is in the row)."""
        self.untold += 1
        if token not in self.row.ends and (text := self.pieces.add(token)):
            self.out.put(Delta(text, self.untold))
            self.untold = 0

    def end(self, reason: Reason) -> None:
        self.out.put(Delta(self.pieces.rest(), self.untold, reason))

    def fail(self, error: Exception) -> None:
        if not isinstance(error, MigakiError):
            detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            told = Unavailable(f"the model broke off while answering ({detail}); it goes on with other questions, ask again")
            told.__cause__ = error
            error = told
        self.out.put(error)


class Decoding:
    """The decoding thread and what waits for it. Knows nothing of `LocalModel`, so that one which nobody uses any more can end it."""

    def __init__(self, batch: Batch, turns: OneAtATime, max_waiting: int, tally: Tally):
        self.batch, self.turns, self.max_waiting, self.tally = batch, turns, max_waiting, tally
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
        with self.turns.priority():
            given = self.batch.step()
        self.tally.add(tokens=len(given), steps=1)  # before any of it is told
        for row, token in given:
            self.running[row].add(token)
        for row in [row for row in self.running if row.reason]:
            self._let_go(row)

    def _let_go(self, row: Row) -> None:
        self.batch.leave(row)
        self.tally.add(reused_tokens=row.reused)
        self.running.pop(row).end(row.reason)

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
