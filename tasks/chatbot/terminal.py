"""The chat in a terminal: questions in, answers that appear as they are written, with tools, sources and doubts shown.

What the terminal needs of the rest of Migaki is a `Host`: it keeps turns and ratings, and knows the other models.
"""

import difflib
import json
import re
import signal
import threading
import unicodedata
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Ended, Event, Piece, Refused, Source, Turn
from tasks.chatbot.language import languages
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.transcript import save
from tasks.errors import MigakiError
from tasks.shown import shown

PROMPT, MORE, QUOTES = "you> ", "...> ", '"""'
COMMAND = re.compile(r"/([a-z]+!?)(?:\s+(.*))?", re.DOTALL)
SHOWN = 300  # characters of a tool's result


class Engine(Protocol):
    """What is needed of `tasks.chatbot.engine.ChatEngine`."""

    def conversation(self) -> Conversation: ...

    def answer(self, conversation: Conversation, question: str, *, stop: threading.Event) -> Generator[Event, None, None]: ...


class Host(Protocol):
    """Where turns and ratings go, and where other models come from. `MigakiError` says what a user can mend."""

    def keep(self, turn: Turn) -> None: ...

    def rate(self, turn_id: str, rating: int, correction: str | None) -> None: ...

    def begin(self) -> None:
        """What is kept from now on is a new conversation."""
        ...

    def models(self) -> list[str]:
        """Lines that say which model is talking and which others there are."""
        ...

    def switch(self, artifact: str) -> tuple[Engine, str]:
        """The engine of another model, and its name."""
        ...


class Terminal:
    """A conversation at a terminal; `ask` reads a line as `input` does, `lang` is the language that the terminal itself speaks."""

    def __init__(self, engine: Engine, host: Host, ask: Callable[[str], str], out: TextIO, lang: str):
        self.engine, self.host, self.ask, self.out = engine, host, ask, out
        self.words, self.cut = languages()[lang].TERMINAL, languages()[lang].CUT
        self.conversation = engine.conversation()
        self.turns: list[Turn] = []
        self.answered = 0
        self.commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: self.say(self.words["help"]),
            "sources": self.sources,
            "good": lambda _: self.rate(1, None),
            "bad": lambda _: self.rate(-1, None),
            "better": self.better,
            "model": self.model,
            "reset": self.reset,
            "save": self.save,
            "save!": lambda name: self.save(name, replace=True),
        }

    def run(self) -> int:
        """Talk until /quit, the end of the input, or Ctrl-C twice at the prompt; returns the number of answers."""
        self.say(self.words["hint"])
        leaving = False
        while True:
            try:
                text = read_question(self.ask)
                command = COMMAND.fullmatch(unicodedata.normalize("NFKC", text[:1]) + text[1:])
                if command and command[1] in ("quit", "exit"):
                    return self.answered
                if command:
                    self.obey(command[1], (command[2] or "").strip())
                elif text:
                    self.question(text)
                leaving = False
            except EOFError:
                self.say()
                return self.answered
            except KeyboardInterrupt:
                self.say()
                if leaving:
                    return self.answered
                leaving = True
                self.say(self.words["again"])
            except MigakiError as error:
                self.say(str(error))

    def obey(self, name: str, rest: str) -> None:
        if name in self.commands:
            self.commands[name](rest)
            return
        near = difflib.get_close_matches(name, [*self.commands, "quit"], n=1, cutoff=0.5)
        self.say("; ".join([self.words["unknown"].format(name), self.words["near"].format(near[0]) if near else self.words["hint"]]))

    def question(self, text: str) -> None:
        """Stream one answer. Ctrl-C stops it, and pressed again gives it up; neither ends the program."""
        with stop_on_interrupt() as stop, closing(self.engine.answer(self.conversation, text, stop=stop)) as events:
            try:
                for event in events:
                    self.show(event)
            except KeyboardInterrupt:
                self.say(f" [{self.cut['stopped']}]")

    def show(self, event: Event) -> None:
        match event:
            case Called(name, arguments):
                self.say(f"  {name}({', '.join(f'{key}={json.dumps(value, ensure_ascii=False)}' for key, value in arguments.items())})")
            case Returned(_, ok, content):
                self.say(f"  {'=' if ok else '!'} {content[:SHOWN]}")
            case Refused(code, _):
                self.say(f"[{self.words['refused'].format(code)}]")
            case Piece(text):
                self.say(text, end="")
            case Ended(turn):
                self.end(turn)

    def end(self, turn: Turn) -> None:
        """What is said below an answer: how it ended, what no source supports, and where it comes from."""
        words = [self.words[turn.reason]] if turn.reason in ("unsure", "unanswered") else []
        words += [self.cut[turn.finish]] if turn.finish in self.cut else []
        self.say("".join(f" [{word}]" for word in words))
        for sentence in turn.sentences:
            if not sentence.supported:
                self.say(f"  ? {sentence.text.strip()} ({self.words['unsupported']})")
        for source in turn.sources:
            self.say(f"  [{source.number}] {self.place(source)}")
        if turn.answer:
            self.turns.append(turn)
            self.answered += 1
            self.host.keep(turn)

    def place(self, source: Source) -> str:
        """Where a source stands: heading, document, page."""
        page = [self.words["page"].format(source.page)] if source.page is not None else []
        return f"{source.heading or source.title} ({', '.join([source.document, *page])})"

    def sources(self, number: str) -> None:
        every = self.turns[-1].sources if self.turns else []
        wanted = [source for source in every if number in ("", str(source.number))]
        if not every:
            self.say(self.words["no_sources"])
        elif not wanted:
            self.say(self.words["no_source"].format(number, ", ".join(str(source.number) for source in every)))
        for source in wanted:
            self.say(f"[{source.number}] {self.place(source)} {source.score:.2f}\n    {source.text.strip()}")

    def rate(self, rating: int, correction: str | None) -> None:
        if not self.turns:
            self.say(self.words["nothing"])
            return
        self.host.rate(self.turns[-1].turn_id, rating, correction)
        self.say(self.words["thanks"])

    def better(self, text: str) -> None:
        if text:
            self.rate(-1, text)
        else:
            self.say(self.words["no_text"])

    def model(self, artifact: str) -> None:
        """Say which models there are, or talk with another one; the conversation goes on with it."""
        if not artifact:
            for line in self.host.models():
                self.say(line)
            return
        self.engine, name = self.host.switch(artifact)
        self.say(self.words["talking"].format(name))

    def reset(self, _: str) -> None:
        self.conversation, self.turns = self.engine.conversation(), []
        self.host.begin()
        self.say(self.words["forgotten"])

    def save(self, name: str, *, replace: bool = False) -> None:
        if not self.turns or not name:
            self.say(self.words["no_file" if self.turns else "nothing"])
            return
        path = Path(name).expanduser()
        save(self.turns, path, replace=replace)
        self.say(self.words["saved"].format(len(self.turns), path))

    def say(self, text: Any = "", end: str = "\n") -> None:
        print(shown(text), end=end, flush=True, file=self.out)


def read_question(ask: Callable[[str], str]) -> str:
    """A line; lines of which all but the last end with a backslash; or what stands between two lines of three quotes. The end of the input ends a block.

    Raises:
        EOFError: the input is over.
        KeyboardInterrupt: Ctrl-C; what was typed so far is dropped.
    """
    line = readable(ask(PROMPT))
    if line.strip() == QUOTES:
        lines = []
        while (following := _next(ask)) is not None and following.strip() != QUOTES:
            lines.append(following)
        return "\n".join(lines).strip()
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(_next(ask) or "")
    return "\n".join(lines).strip()


def _next(ask: Callable[[str], str]) -> str | None:
    try:
        return readable(ask(MORE))
    except EOFError:
        return None


def readable(line: str) -> str:
    """A line in which bytes that are no text (a paste in another encoding) are marked as such and break nothing later."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace").rstrip("\r\n")


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the next ones raise KeyboardInterrupt as always."""
    stop = threading.Event()

    def interrupted(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
