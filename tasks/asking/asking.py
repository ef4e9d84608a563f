"""The chatbot asked as people meet it: every item through its engine, many at once so that the model answers them together."""

import copy
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol

from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.events import Ended, Event, Piece, Turn
from tasks.chatbot.index import Index
from tasks.data.select import balanced
from tasks.errors import MigakiError
from tasks.inference.backend import Unavailable

Suite = Literal["answerable", "left_out", "follow_up", "topic_change", "small_talk", "tools", "harmful", "look_alike", "cross_language"]
AT_ONCE = 16  # as many as a model of this process answers together
VIEWS = 64  # indexes without some documents that are kept: those of the items being asked


@dataclass(frozen=True)
class Asked:
    """A question, what was said before it, and what a right answer is.

    Attributes:
        earlier: what the same person said before, answered by the same engine first.
        accept: strings of which any right answer contains one; without any it cannot be told whether an answer is right.
        documents: those that answer it; () where that is not known.
        left_out: documents that the search does not see.
        group: what is resampled as one, for items of a document and of its twins are right or wrong together.
        tool: the one that is to be called.
    """

    id: str
    suite: Suite
    lang: str
    question: str
    earlier: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    group: str = ""
    tool: str = ""


@dataclass(frozen=True)
class Answered:
    """What came of an item.

    Attributes:
        turn: the last one of the item, and `events` what happened in it.
        first_word: seconds to it, and `seconds` to the end of all that is shown.
        earlier: the turns before, as (question, answer).
        alone: whether nobody else was answered at the same time.
    """

    turn: Turn
    events: list[Event]
    first_word: float
    seconds: float
    earlier: list[tuple[str, str]]
    alone: bool


class Searched(Index, Protocol):
    """An index of which documents can be left out."""

    def without(self, documents: frozenset[str]) -> Index: ...


def answers(
    engine: ChatEngine,
    items: Sequence[Asked],
    timed: int = 0,
    at_once: int = AT_ONCE,
    on_done: Callable[[], object] = lambda: None,
) -> list[Answered]:
    """What comes of each item, in their order.

    Args:
        engine: its index is `Searched` where an item leaves documents out.
        timed: how many of the answerable items are asked one by one; only their seconds say what somebody alone waits.
        at_once: how many of the others are asked at the same time.
        on_done: called after each item, by any thread.

    Raises:
        MigakiError: the backend answers nobody, or a question leaves documents out and the engine has no index.
    """
    view = lru_cache(VIEWS)(lambda documents: _without(engine, documents))

    def ask(item: Asked, alone: bool) -> Answered:
        answered = _answered(view(item.left_out), item, alone)
        on_done()
        return answered

    found = {id(item): ask(item, alone=True) for item in clocked(items, timed)}
    rest = [item for item in items if id(item) not in found]
    with ThreadPoolExecutor(at_once) as pool:
        found |= zip(map(id, rest), pool.map(lambda item: ask(item, alone=False), rest), strict=True)
    return [found[id(item)] for item in items]


def clocked(items: Sequence[Asked], timed: int) -> list[Asked]:
    """The items that are asked one by one: so many answerable ones, languages in balance."""
    return balanced([item for item in items if item.suite == "answerable"], timed)[0] if timed else []


def _without(engine: ChatEngine, documents: tuple[str, ...]) -> ChatEngine:
    """The engine, whose search does not see these documents, and whose tools do not either."""
    if not documents:
        return engine
    if engine.retriever is None:
        raise MigakiError(f"an item leaves the documents {', '.join(documents)} out of the search, and the engine has no index")
    searched: Searched = engine.retriever  # type: ignore[assignment]
    other = copy.copy(engine)
    other.retriever = searched.without(frozenset(documents))
    other.tools = engine.tools and engine.tools.over(other.retriever)
    return other


def _answered(engine: ChatEngine, item: Asked, alone: bool) -> Answered:
    """What comes of an item.

    The seed is the item's own: asked again, the same engine says the same.
    """
    conversation, earlier = engine.conversation(), list[tuple[str, str]]()
    for place, question in enumerate([*item.earlier, item.question]):
        sampling = replace(engine.sampling(), seed=zlib.crc32(f"{item.id} {place}".encode()))
        events, first_word, start = list[Event](), 0.0, time.perf_counter()
        try:
            for event in engine.answer(conversation, question, sampling=sampling):
                if isinstance(event, Piece) and not first_word:
                    first_word = time.perf_counter() - start
                events.append(event)
        except Unavailable:
            raise
        except MigakiError as error:  # what people see instead of an answer, such as that a question is too long
            events.append(Ended(Turn(item.id, question, item.lang, str(error), reason="unanswered")))
        seconds = time.perf_counter() - start
        turn = next(event.turn for event in events if isinstance(event, Ended))
        earlier.append((question, turn.answer))
    return Answered(turn, events, first_word, seconds, earlier[:-1], alone)
