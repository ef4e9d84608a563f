"""The chatbot asked as people meet it: every item through its engine, every turn a row, many at once so that the model answers them together."""

import copy
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal, Protocol

from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.events import Ended, Event, Found, Piece, Turn
from tasks.chatbot.index import Index
from tasks.data.select import balanced
from tasks.errors import MigakiError
from tasks.evaluation.verdict import Verdict, judged
from tasks.inference.backend import Unavailable

Row = dict[str, Any]
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


class Searched(Index, Protocol):
    """An index of which documents can be left out."""

    def without(self, documents: frozenset[str]) -> Index: ...


def ask_all(
    engine: ChatEngine,
    items: Sequence[Asked],
    model: str = "release",
    timed: int = 0,
    at_once: int = AT_ONCE,
    on_done: Callable[[], object] = lambda: None,
) -> list[Row]:
    """A row of `evaluation_answers` for each item, in their order.

    Args:
        engine: its index is `Searched` where an item leaves documents out.
        model: role of what answers, as the rows name it.
        timed: how many of the answerable items are asked one by one; only their seconds say what somebody alone waits, so only they are kept.
        at_once: how many of the others are asked at the same time.
        on_done: called after each item, by any thread.

    Raises:
        MigakiError: the backend answers nobody, or a question leaves documents out and the engine has no index.
    """
    view = lru_cache(VIEWS)(lambda documents: _without(engine, documents))

    def ask(item: Asked, alone: bool) -> Row:
        row = _row(model, item, *_answered(view(item.left_out), item), alone)
        on_done()
        return row

    rows = {id(item): ask(item, alone=True) for item in clocked(items, timed)}
    rest = [item for item in items if id(item) not in rows]
    with ThreadPoolExecutor(at_once) as pool:
        rows |= zip(map(id, rest), pool.map(lambda item: ask(item, alone=False), rest), strict=True)
    return [rows[id(item)] for item in items]


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


def _answered(engine: ChatEngine, item: Asked) -> tuple[Turn, list[Event], float, list[tuple[str, str]]]:
    """The last turn of an item, its events, the seconds to its first word, and the turns before it as (question, answer).

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
        turn = next(event.turn for event in events if isinstance(event, Ended))
        earlier.append((question, turn.answer))
    return turn, events, first_word, earlier[:-1]


def _row(
    model: str, item: Asked, turn: Turn, events: Iterable[Event], first_word: float, earlier: list[tuple[str, str]], alone: bool
) -> Row:
    verdict: Verdict = judged(turn, item.accept, item.documents, unanswerable=item.suite == "left_out")
    called = [call.name for call, _ in turn.calls]
    return {
        "model": model,
        "suite": item.suite,
        "item_id": item.id,
        "lang": item.lang,
        "document": item.group or item.id,
        "prompt": "\n".join([*item.earlier, item.question]),
        "reference": " / ".join(item.accept) or None,
        "answer": turn.answer,
        "outcome": turn.reason,
        "finish": turn.finish,
        **asdict(verdict),
        "supported": sum(sentence.supported for sentence in turn.sentences),
        "sentences": len(turn.sentences),
        "called": called,
        "right_tool": called[:1] == [item.tool] if item.tool else None,
        "refused": bool(turn.refused),
        "confidence": turn.confidence,
        "tokens": turn.tokens,
        "first_word": first_word if alone else None,
        "seconds": turn.seconds if alone else None,
        "sources": [source.document for source in turn.sources],
        "events": {"earlier": earlier, "events": [_plain(event) for event in events if not isinstance(event, Piece)]},
    }


def _plain(event: Event) -> dict[str, Any]:
    """An event in plain values, without the texts of chunks, which stand in the table `chunks`."""
    found = asdict(event)
    for source in found["sources"] if isinstance(event, Found) else found["turn"]["sources"] if isinstance(event, Ended) else ():
        del source["text"]
    return {"event": type(event).__name__.lower()} | found
