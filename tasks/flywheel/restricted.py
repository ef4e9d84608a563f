"""What not everybody may see does not reach training data, whichever way it came into a chat: as a source, as a tool's result, or as a quotation
in what was asked, answered or corrected."""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby
from typing import Any

from tasks.text.runs import runs

Row = dict[str, Any]
SEARCHES = ("search_documents", "search_web")  # tools that look into the index
SAID = ("question", "answer", "correction")
SHOWN, TOLD, UNTOLD, QUOTED = "restricted source", "restricted tool result", "tool result without its sources", "quotes a restricted source"


def with_secrets(turns: Iterable[Row], standing: Callable[[Row], str], quoting: Collection[str] = ()) -> Iterator[Row]:
    """The turns, each with its `secret`: why nothing of it may be learnt because of what it shows; "" where it may.

    Args:
        turns: those of a conversation together and in order, their texts as they were said.
        standing: why nothing may be learnt any more that rests on a source; "" where it may.
        quoting: questions, answers and corrections that quote what not everybody may see.
    """
    for _, conversation in groupby(turns, lambda turn: turn["conversation_id"]):
        shown: set[str] = set()  # runs of text that this conversation has shown and that not everybody may see
        for turn in conversation:
            reason = _of_sources(turn, standing) or _of_words(turn, quoting, shown)
            if reason in (SHOWN, TOLD, UNTOLD, QUOTED):
                texts = [turn["answer"] or "", *(call["content"] for call in turn["calls"])]
                shown.update(run for text in texts for run in runs(text))
            yield turn | {"secret": reason}


def _of_sources(turn: Row, standing: Callable[[Row], str]) -> str:
    passages = [passage for call in turn["calls"] for passage in call.get("passages", [])]
    if any(source.get("restricted") for source in turn["sources"]):
        return SHOWN
    if any(passage["restricted"] for passage in passages):
        return TOLD
    if any(call["name"] in SEARCHES and call["ok"] and "passages" not in call for call in turn["calls"]):
        return UNTOLD  # kept by an earlier version
    return next(filter(None, map(standing, [*turn["sources"], *passages])), "")


def _of_words(turn: Row, quoting: Collection[str], shown: Collection[str]) -> str:
    own = [turn[name] for name in SAID if turn[name]]
    return QUOTED if any(text in quoting or (shown and any(run in shown for run in runs(text))) for text in own) else ""
