"""What the chatbot answered, as rows of the catalog: every turn with its events and its verdict."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from tasks.asking.asking import AT_ONCE, Answered, Asked, answers
from tasks.asking.verdict import judged
from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.events import Ended, Event, Found, Piece

Row = dict[str, Any]


def ask_all(
    engine: ChatEngine,
    items: Sequence[Asked],
    model: str = "release",
    timed: int = 0,
    at_once: int = AT_ONCE,
    on_done: Callable[[], object] = lambda: None,
) -> list[Row]:
    """A row of `evaluation_answers` for each item, in their order; seconds only of those that were asked alone.

    Args:
        model: role of what answers, as the rows name it.

    The others, and what is raised, are those of `answers`.
    """
    found = answers(engine, items, timed, at_once, on_done)
    return [_row(model, item, answered) for item, answered in zip(items, found, strict=True)]


def _row(model: str, item: Asked, answered: Answered) -> Row:
    turn = answered.turn
    verdict = judged(turn, item.accept, item.documents, unanswerable=item.suite == "left_out")
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
        "first_word": answered.first_word if answered.alone else None,
        "seconds": answered.seconds if answered.alone else None,
        "sources": [source.document for source in turn.sources],
        "events": {"earlier": answered.earlier, "events": [_plain(event) for event in answered.events if not isinstance(event, Piece)]},
    }


def _plain(event: Event) -> dict[str, Any]:
    """An event in plain values, without the texts of chunks, which stand in the table `chunks`."""
    found = asdict(event)
    for source in found["sources"] if isinstance(event, Found) else found["turn"]["sources"] if isinstance(event, Ended) else ():
        del source["text"]
    return {"event": type(event).__name__.lower()} | found
