"""An engine and a host for the terminal that do as they are told."""

import os
import signal
import time
from collections.abc import Iterator

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Ended, Event, Found, Piece, Refused, Sentence, Source, Turn
from tasks.chatbot.tools.calls import Called, Returned
from tasks.errors import MigakiError

SOURCE = Source(1, "c1", "量子化.md", "量子化", "量子化 > 仕組み", "量子化は重みのビット数を減らします。", "ja", 3.1, page=4)


class Scripted:
    """An engine that answers by what the question is."""

    def __init__(self, name: str = "first"):
        self.name, self.heard = name, []

    def conversation(self) -> Conversation:
        return Conversation("rules", 10)

    def answer(self, conversation, question, *, stop) -> Iterator[Event]:
        self.heard.append((question, [turn["content"] for turn in conversation.turns]))
        turn = Turn(f"t{len(self.heard)}", question, "en", answer=f"{self.name} says: {question}")
        if question == "break":
            raise MigakiError("the model broke off")
        if question == "slow":
            turn.answer = ""
            yield Piece("par")
            os.kill(os.getpid(), signal.SIGINT)
            while not stop.is_set():
                time.sleep(0.01)
            turn.answer, turn.finish = "par", "stopped"
        elif question == "deaf":
            yield Piece("par")
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            yield Piece("never")
        elif question == "unknown":
            turn.answer, turn.reason = "The documents do not answer this.", "unanswered"
            yield Piece(turn.answer)
        elif question == "bomb":
            turn.refused, turn.reason, turn.answer = "harm.weapons", "refused", "I can't."
            yield Refused("harm.weapons", "input")
            yield Piece(turn.answer)
        else:
            yield from self._grounded(turn)
        conversation.add("user", question)
        conversation.add("assistant", turn.answer)
        yield Ended(turn)

    def _grounded(self, turn: Turn) -> Iterator[Event]:
        turn.sources = [SOURCE]
        turn.sentences = [Sentence("Known.", (1,), True), Sentence("Invented.", (), False)]
        yield Found((SOURCE,), 0.9)
        turn.calls = [(Called("calculate", {"expression": "6*7", "メモ": "暗算"}), Returned("calculate", True, "42"))]
        yield from (*turn.calls[0], Called("fly", {}), Returned("fly", False, "no such tool"))
        yield Piece(turn.answer[:5])
        yield Piece(turn.answer[5:] + "\x1b[2J\u202e")


class Kept:
    """A host that remembers what it was told."""

    def __init__(self):
        self.turns, self.ratings, self.begun = [], [], 0

    def keep(self, turn):
        self.turns.append(turn)

    def rate(self, turn_id, rating, correction):
        self.ratings.append((turn_id, rating, correction))

    def begin(self):
        self.begun += 1

    def models(self):
        return ["first (talking)", "second"]

    def switch(self, artifact):
        if artifact != "second":
            raise MigakiError(f"no model {artifact!r}")
        return Scripted("second"), "second"
