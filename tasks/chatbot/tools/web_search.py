"""Search: the web through a service that speaks as SearXNG does, or, without a network, the index itself."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.chatbot.tools.calls import Passage, Told
from tasks.chatbot.tools.http import get_json
from tasks.chatbot.tools.language import languages
from tasks.errors import MigakiError

RESULTS, SHOWN = 3, 300  # how many, and characters of each
ASKS = re.compile("|".join(language.ASKS_WEB for language in languages().values()), re.I)
AROUND = "".join(language.AROUND_QUERY for language in languages().values())


@dataclass(frozen=True)
class Result:
    title: str
    address: str
    text: str
    passage: Passage | None = None  # where it comes from the index


class Search(Protocol):
    """What answers `search_web`."""

    def find(self, query: str) -> list[Result]:
        """The best results, best first.

        Raises:
            MigakiError: nothing came.
        """
        ...


class SearchService:
    """A search service by HTTP: `url` (with `{query}`) gives `results`, each with `title`, `url` and `content`."""

    def __init__(self, url: str, key: str = "", seconds: float = 8.0):
        self.url, self.key, self.seconds = url, key, seconds

    def find(self, query: str) -> list[Result]:
        results = get_json(self.url, {"query": query}, self.key, self.seconds).get("results")
        if not isinstance(results, list):
            raise MigakiError("the search service answered in an unexpected form: a list under 'results' was expected")
        rows = [row for row in results if isinstance(row, dict)][:RESULTS]
        told = [[str(row.get(name) or "") for name in ("title", "url", "content")] for row in rows]
        return [Result(title, address, text) for title, address, text in told]


def search_tool(provider: Search) -> Callable[..., Told]:
    """The tool over a provider."""

    def search_web(query: str) -> Told:
        """Search the web for current information."""
        return listed(provider.find(query), query)

    return search_web


def listed(results: list[Result], query: str) -> Told:
    """Results as a numbered list.

    Raises:
        MigakiError: there are none.
    """
    if not results:
        raise MigakiError(f"nothing was found for {query!r}")
    lines = [f"{number}. {one.title} ({one.address}): {one.text[:SHOWN]}" for number, one in enumerate(results, 1)]
    return Told("\n".join(lines), tuple(one.passage for one in results if one.passage is not None))


def search_asked(question: str) -> list[dict[str, Any]]:
    """What a question plainly wants to have searched on the web."""
    return query_in(ASKS, question)


def query_in(forms: re.Pattern[str], question: str) -> list[dict[str, Any]]:
    """What one of the forms of asking takes for the query."""
    asked = forms.match(question.strip())
    query = next((part for part in asked.groups() if part), "").strip(AROUND) if asked else ""
    return [{"query": query}] if query else []
