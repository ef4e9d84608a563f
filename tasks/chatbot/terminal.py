"""The chat in a terminal: a line in, an answer that appears as it is written, its sources below."""

from collections.abc import Callable
from typing import TextIO

from tasks.chatbot.engine import ChatEngine, Turn

HELP = "/sources shows what the last answer came from, /reset forgets the conversation, /quit leaves; Ctrl-C stops an answer"


def run_chat(engine: ChatEngine, ask: Callable[[str], str], out: TextIO, on_turn: Callable[[Turn], object]) -> int:
    """Talk until /quit or the end of the input; returns the number of answers. `on_turn` hears of every finished one."""
    print(HELP, file=out)
    answered = 0
    while True:
        try:
            line = ask("\nyou> ").strip()
        except (EOFError, KeyboardInterrupt):
            print(file=out)
            return answered
        if line in ("/quit", "/exit"):
            return answered
        if line == "/reset":
            engine.conversation.reset()
            print("forgotten", file=out)
        elif line == "/sources":
            show_sources(engine.turn, out)
        elif line.startswith("/"):
            print(HELP, file=out)
        elif line:
            answered += say(engine, line, out, on_turn)


def say(engine: ChatEngine, question: str, out: TextIO, on_turn: Callable[[Turn], object]) -> int:
    """Stream one answer; Ctrl-C stops it and nothing else. Returns 1 if it was finished."""
    pieces = engine.answer(question)
    try:
        for piece in pieces:
            print(piece, end="", flush=True, file=out)
    except KeyboardInterrupt:
        pieces.close()
        print(" [stopped]", file=out)
        return 0
    print(file=out)
    for number, hit in enumerate(engine.turn.sources, 1):
        print(f"  [{number}] {hit.heading or hit.title} ({hit.document})", file=out)
    on_turn(engine.turn)
    return 1


def show_sources(turn: Turn | None, out: TextIO) -> None:
    if turn is None or not turn.sources:
        print("the last answer has no sources", file=out)
        return
    for number, hit in enumerate(turn.sources, 1):
        print(f"[{number}] {hit.heading or hit.title} ({hit.document}, score {hit.score:.2f})\n    {hit.text}", file=out)
