"""Conversations of earlier days, shown by today's groups: who lost a group, or whose document was closed since, sees nothing that rested on it."""

from collections.abc import Callable, Mapping
from typing import Any

from tasks.chatbot.language import languages
from tasks.chatbot.tools.calls import SEARCHES

Admits = Callable[[Mapping[str, Any]], bool | None]  # whether a source may be seen today; None where it is in the index no longer


def as_seen_today(message: dict[str, Any], admits: Admits) -> dict[str, Any]:
    """A message that was kept, without the sources and the results of tools that may not be seen any more, and without the answer that rested on
    them, which may hold their words: its `withheld` is then true, and its content says so."""
    if message["role"] == "user":
        return message
    sources = [source for source in message["sources"] if _may_see(source, admits)]
    calls = [(call, returned) for call, returned in message["calls"] if _may_see_result(returned, admits)]
    if len(sources) == len(message["sources"]) and len(calls) == len(message["calls"]):
        return message
    said: dict[str, Any] = {"content": languages()[message["lang"]].WITHHELD, "sentences": [], "correction": None}
    return message | said | {"sources": sources, "calls": calls, "withheld": True}


def _may_see(source: Mapping[str, Any], admits: Admits) -> bool:
    """What is gone is seen where it was for everybody."""
    today = admits(source)
    return not source.get("restricted") if today is None else today


def _may_see_result(returned: Mapping[str, Any], admits: Admits) -> bool:
    """A search kept by an earlier version does not say what it shows."""
    passages = returned.get("passages")
    if passages is None:
        return not (returned["ok"] and returned["name"] in SEARCHES)
    return all(_may_see(passage, admits) for passage in passages)
