"""A conversation that always fits the model: the system message stays, the oldest turns go first."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.text.messages import Message


@dataclass
class Conversation:
    """Messages in order; `max_turns` is a question and its answer."""

    system: str = ""
    max_turns: int = 10
    turns: list[Message] = field(default_factory=list)

    def add(self, role: str, content: str) -> None:
        self.turns.append({"role": role, "content": content})
        self.turns = self.turns[-2 * self.max_turns :]

    def undo(self) -> None:
        """Take back the last message (a question whose answer was broken off)."""
        self.turns = self.turns[:-1]

    def reset(self) -> None:
        self.turns = []

    def fitting(self, last: Message, room: int, count_tokens: Callable[[list[Message]], int]) -> list[Message]:
        """System message, as many of the newest turns as fit into `room` tokens with `last`, and `last`. The system message and `last` are always there."""
        head = [{"role": "system", "content": self.system}] if self.system else []
        starts = [place for place, message in enumerate(self.turns) if message["role"] == "user"]

        def fits(start: int) -> bool:
            return count_tokens([*head, *self.turns[start:], last]) <= room

        # Bisected: every count reads all of the messages, and clients may send hundreds.
        first = bisect_left(starts, True, key=fits)
        return [*head, *(self.turns[starts[first] :] if first < len(starts) else []), last]
