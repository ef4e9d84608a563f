"""One forward pass of a model at a time, whoever asks for it.

Answers are decoded by one thread; choosing a tool, decoding its arguments and beam search run in the threads of those who want them. Two
passes at once would compete for the same cores and, in layers that keep something of their last input, for the same memory; one whole
answer after the other would make everybody wait. So threads take turns, pass by pass.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from tasks.models.trunk import decoder


class FairLock:
    """A lock that goes to whoever has waited longest (threading's own goes to anybody)."""

    def __init__(self) -> None:
        self._lock, self._held = threading.Lock(), False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self) -> None:
        with self._lock:
            if not self._held:
                self._held = True
                return
            handover = threading.Lock()  # released by whoever hands the lock on
            handover.acquire()
            self._waiting.append(handover)
        handover.acquire()

    def release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class ForwardLock:
    """Takes turns for every pass through a model's decoder. The thread that holds a `priority` block gets every second turn; the others share the rest."""

    def __init__(self, model: nn.Module):
        self._passes, self._others = FairLock(), FairLock()
        self._holder: int | None = None
        body = decoder(model)
        self._hooks = [
            body.register_forward_pre_hook(self._before),
            body.register_forward_hook(self._after, always_call=True),
        ]

    @contextmanager
    def priority(self) -> Iterator[None]:
        """All passes within are one turn."""
        self._passes.acquire()
        self._holder = threading.get_ident()
        try:
            yield
        finally:
            self._holder = None
            self._passes.release()

    def _before(self, *_: object) -> None:
        if self._holder != threading.get_ident():
            self._others.acquire()
            self._passes.acquire()

    def _after(self, *_: object) -> None:
        if self._holder != threading.get_ident():
            self._passes.release()
            self._others.release()

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
