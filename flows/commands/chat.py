"""Chat with the champion in the terminal. What is said and what people think of it is kept in the catalog."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from flows.commands.serve import conversation_with
from flows.commands.show import console
from flows.serving.engine import Opened, open_engine
from flows.serving.wanted import Said
from storage.chat_log import ChatLog, SafetyDecision
from storage.home import Home, StorageError
from storage.queries.models import newest_models
from tasks.chatbot.language import languages
from tasks.chatbot.terminal import Terminal
from tasks.errors import MigakiError
from tasks.text.detection import detect

if TYPE_CHECKING:
    from tasks.chatbot.engine import ChatEngine
    from tasks.chatbot.events import Turn

CHANNEL, OWNER = "terminal", ""  # who sits at this machine may read its files anyway
REMEMBERED = 1000  # lines that the arrow keys bring back


def chat_in_terminal(home: Home, artifact: str | None, said: Said, out: TextIO) -> dict[str, Any]:
    """Talk with the champion, or with the model artifact named.

    Raises:
        MigakiError, StorageError: what `open_engine` raises.
    """
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")  # a terminal that cannot show Japanese shows question marks
    opened = open_engine(home, artifact, said)
    with ChatLog(home, on_log=console.print) as log, line_editing(home.root / "chat_history", out) as ask:
        desk = Desk(home, said, opened, log)
        console.print(f"talking with {desk.name}; documents: {opened.about.documents or 'none'}", soft_wrap=True)
        try:
            answers = Terminal(opened.engine, desk, ask, out, spoken()).run()
        finally:
            desk.opened.close()
    return {"answers": answers, "conversation": desk.conversation}


class Desk:
    """The terminal's host: conversations go to the catalog, models come from the registry."""

    def __init__(self, home: Home, said: Said, opened: Opened, log: ChatLog):
        self.home, self.said, self.opened, self.log = home, said, opened, log
        self.conversation: str | None = None

    @property
    def name(self) -> str:
        about = self.opened.model
        model = " ".join(part for part in (about.model, about.version[:12], about.precision) if part)
        return f"{model} ({about.unreleased or f'release {about.release[:12]}'})"

    def keep(self, turn: "Turn") -> None:
        if self.conversation is None:
            self.conversation = self.log.begin_conversation(conversation_with(self.opened.about, CHANNEL, OWNER))
        with told():
            self.log.keep_turn(self.conversation, asdict(turn), [SafetyDecision(turn.turn_id, **decision) for decision in turn.decisions])

    def rate(self, turn_id: str, rating: int, correction: str | None) -> None:
        with told():
            self.log.rate(turn_id, OWNER, rating, correction)

    def begin(self) -> None:
        self.conversation = None

    def models(self) -> list[str]:
        marks = {self.opened.model.version: "*"}
        return [
            f"{marks.get(model.model_id, ' ')} {model.model_id[:12]}  {model.stage:9}  {model.precision}  {model.base}"
            for model in newest_models(self.home, 10)
        ]

    def switch(self, artifact: str) -> tuple["ChatEngine", str]:
        """Open the other model first: one that cannot be opened leaves everything as it is."""
        with told():
            other = open_engine(self.home, artifact, self.said)
        self.opened.close()
        self.opened, self.conversation = other, None
        return other.engine, self.name


@contextmanager
def told() -> Iterator[None]:
    """What is wrong in the store, as the terminal expects it."""
    try:
        yield
    except StorageError as error:
        raise MigakiError(str(error)) from error
    except OSError as error:
        raise MigakiError(f"this could not be kept: {error}") from error


@contextmanager
def line_editing(history: Path, out: TextIO) -> Iterator[Callable[[str], str]]:
    """How a line is asked for: at a terminal with arrow keys and the lines of earlier chats; else from the input as it comes."""
    if not (sys.stdin.isatty() and out is sys.stdout):
        yield lambda prompt: _plain_line(prompt, out)
        return
    try:
        import readline
    except ImportError:  # a Python built without it
        yield input
        return
    with suppress(OSError):
        history.touch(mode=0o600)
        readline.read_history_file(history)
    readline.set_history_length(REMEMBERED)
    try:
        yield input
    finally:
        with suppress(OSError):
            readline.write_history_file(history)


def _plain_line(prompt: str, out: TextIO) -> str:
    print(prompt, end="", flush=True, file=out)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def spoken() -> str:
    """The language of the terminal's own words, from the user's locale."""
    said = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return next((code for code in languages() if said.startswith(code)), detect(""))  # of no language here: what texts of none count as
