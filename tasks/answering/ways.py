"""What the three ways of answering are worth, and which one a language takes.

Only questions as they are are asked: where their documents are left out, and where the chat is unsure or finds nothing, all ways end alike. The model
is asked once for each question, to write and quote; how writing alone ends follows from the same turn, and quoting asks no model.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, get_args

from storage.kinds import Answering, Way
from tasks.asking.asking import Answered, Asked, answers
from tasks.asking.utility import Comparison, compare, item_utility, questions_of, worth
from tasks.asking.verdict import judged
from tasks.chatbot.citations import cite
from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.events import Piece, Turn
from tasks.chatbot.language import languages
from tasks.data.records import content_id

Row = dict[str, Any]
WAYS: tuple[Answering, ...] = get_args(Answering)
FEWEST = 5  # questions of a language that can be judged, with which anything is decided


def chosen(items: Sequence[Asked], limit: int) -> list[Asked]:
    """So many items of each language whose answers can be judged, by a hash of their own: neither where they stand in a file nor which ones the
    evaluation times has a say."""
    judgeable = sorted((item for item in items if item.accept), key=lambda item: content_id("answering", item.id))
    return [item for lang in languages() for item in [own for own in judgeable if own.lang == lang][:limit]]


def ask_in_each_way(engine: ChatEngine, items: Sequence[Asked], on_done: Callable[[], object] = lambda: None) -> list[Row]:
    """Rows as `tasks.asking.utility` takes them, whose `model` is the way. A question is of the language in which it is answered.

    Raises:
        MigakiError: the backend answers nobody.
    """
    both = answers(_answering(engine, "write and quote"), items, on_done=on_done)
    quoted = answers(_answering(engine, "quote"), items, on_done=on_done)
    turns: dict[Answering, list[Turn]] = {
        "write": [as_written(answered, engine.settings.support) for answered in both],
        "quote": [answered.turn for answered in quoted],
        "write and quote": [answered.turn for answered in both],
    }
    return [_row(way, item, turn) for way in WAYS for item, turn in zip(items, turns[way], strict=True)]


def _answering(engine: ChatEngine, way: Answering) -> ChatEngine:
    other = copy(engine)
    other.answering = dict.fromkeys(languages(), way)
    return other


def _row(way: Answering, item: Asked, turn: Turn) -> Row:
    of_item = {"model": way, "suite": item.suite, "item_id": item.id, "lang": turn.lang, "document": item.group or item.id}
    return of_item | {"outcome": turn.reason} | asdict(judged(turn, item.accept, item.documents))


def as_written(answered: Answered, support: float) -> Turn:
    """How a turn that was written and quoted ends where its language is answered by writing: with the quotes only where no source says a sentence of it."""
    turn = answered.turn
    if turn.quoted or turn.refused or not turn.sources or turn.finish != "stop":  # nothing was added to what the model wrote
        return turn
    quote = [event.text for event in answered.events if isinstance(event, Piece)][-1]
    written = turn.answer.removesuffix(quote.strip()).strip()
    sentences = cite(written, turn.sources, support)
    return replace(turn, answer=written, sentences=sentences) if any(sentence.supported for sentence in sentences) else turn


def decide(rows: Sequence[Row], cost_wrong: float, margin: float, otherwise: Mapping[str, Answering]) -> dict[str, Way]:
    """The way of each language: of those worth more than quoting on average, and by the lower end of the paired interval at most `margin` less, the one
    that is worth most; quoting where there is none. With fewer than `FEWEST` questions, what is said `otherwise`.

    The best of three on a few questions looks a little better on these than it is on others, and the evaluation asks these among all own questions, so
    its figures of the release are that much too good.
    """
    return {
        lang: _decided([row for row in rows if row["lang"] == lang], cost_wrong, margin, otherwise.get(lang, "write"))
        for lang in languages()
    }


def _decided(rows: Sequence[Row], cost_wrong: float, margin: float, otherwise: Answering) -> Way:
    questions = questions_of(rows, "quote")
    if questions < FEWEST:
        return Way(otherwise, questions, f"only {questions} questions in it can be judged: as the catalogue of models says")
    utility = {way: fmean(item_utility(row, cost_wrong) for row in worth(rows, way).values()) for way in WAYS}
    against: dict[Answering, Comparison] = {
        way: compared for way in WAYS if (compared := compare(rows, way, "quote", cost_wrong)) and way != "quote"
    }
    better = [way for way, compared in against.items() if compared.value > 0 and compared.low >= -margin]
    way: Answering = max(better, key=utility.__getitem__, default="quote")
    nearest = way if better else max(against, key=utility.__getitem__)
    return Way(
        way, questions, _because(nearest, against[nearest], margin, bool(better)), {str(name): value for name, value in utility.items()}
    )


def _because(way: Answering, compared: Comparison, margin: float, taken: bool) -> str:
    difference = f"{compared.value:+.2f} ({compared.low:+.2f} to {compared.high:+.2f})"
    if taken:
        return f"{way!r} is worth more than quoting, {difference}"
    if compared.value > 0:
        return f"{way!r} is worth more than quoting, {difference}, but that it is worth over {margin} less is not ruled out"
    return f"nothing is worth more than quoting; {way!r} comes nearest, {difference}"
