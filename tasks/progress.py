"""Progress that is always visible: one line that renews itself on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from tasks.shown import shown

Emit = Callable[[str, bool], None]  # (text, last one of this bar?)
Watch = Callable[[str, float, bool], None]  # (label, share done in [0, 1], last one of this bar?)


def unwatched(label: str, share: float, last: bool) -> None:
    """For runs that nobody follows but on their terminal or in their log."""


def terminal(stream: TextIO | None = None) -> Emit:
    """Overwrite one line on a terminal, standard error if none is given; elsewhere write a line every five seconds."""
    stream = stream or sys.stderr
    live = stream.isatty()
    every = 0.2 if live else 5.0
    last = [0.0]

    def emit(text: str, final: bool) -> None:
        now = time.monotonic()
        if not final and now - last[0] < every:
            return
        last[0] = now
        text = shown(text)
        end = "\n" if final or not live else ""
        stream.write(f"\r\x1b[2K{text}{end}" if live else text + "\n")
        stream.flush()

    return emit


def logged(write: Callable[[str], None], every: float = 15.0) -> Emit:
    """Hand a line to a logger every `every` seconds, for runs that nobody watches on a terminal."""
    last = [time.monotonic()]

    def emit(text: str, final: bool) -> None:
        if final or time.monotonic() - last[0] >= every:
            last[0] = time.monotonic()
            write(text)

    return emit


class Bar:
    """Counts steps of a known total; `with` closes its line. `advance` shows any figures given to it by name."""

    def __init__(self, label: str, total: int, emit: Emit, done: int = 0, watch: Watch = unwatched):
        self.label, self.total, self._emit, self._watch = label, max(1, total), emit, watch
        self.done, self._before, self._start, self._figures = (
            done,
            done,
            time.monotonic(),
            "",
        )  # what was done before took none of this time

    def __enter__(self) -> "Bar":
        self._tell(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._tell(True)

    def advance(self, n: int = 1, **figures: float | str) -> None:
        self.done += n
        if figures:
            self._figures = "  ".join(
                f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
            )
        self._tell(False)

    def _tell(self, last: bool) -> None:
        self._emit(self._line(), last)
        self._watch(self.label, min(1.0, self.done / self.total), last)

    def _line(self) -> str:
        spent = time.monotonic() - self._start
        share = min(1.0, self.done / self.total)
        blocks = round(20 * share)
        if self.done < self.total:
            now = self.done - self._before
            clock = f"{spent / now * (self.total - self.done):4.0f} s left" if now else ""
        else:
            clock = f"{spent:4.0f} s"
        return f"  {self.label:<24.24} {'█' * blocks}{'·' * (20 - blocks)} {self.done}/{self.total}  {clock}  {self._figures}".rstrip()
