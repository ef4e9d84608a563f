"""Search in the team's own documents, within what the user may see."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol

from tasks.chatbot.tools.calls import Passage, Told
from tasks.chatbot.tools.language import languages
from tasks.chatbot.tools.schema import Given
from tasks.chatbot.tools.web_search import RESULTS, Result, listed, query_in

ASKS = re.compile("|".join(language.ASKS_DOCUMENTS for language in languages().values()), re.I)


class Hit(Protocol):
    """What is needed of what a search finds."""

    @property
    def title(self) -> str: ...

    @property
    def document(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def chunk_id(self) -> str: ...

    @property
    def restricted(self) -> bool: ...


class Index(Protocol):
    """What is needed of a retriever."""

    def search(self, query: str, k: int, groups: frozenset[str] = frozenset()) -> Sequence[Hit]: ...


class Documents:
    """The index as a provider of search: for `search_web` where no service is set up, with what everybody may see."""

    def __init__(self, index: Index):
        self.index = index

    def find(self, query: str, groups: frozenset[str] = frozenset()) -> list[Result]:
        hits = self.index.search(query, RESULTS, groups=groups)
        return [Result(hit.title, hit.document, hit.text, Passage.of(hit.chunk_id, hit.document, hit.text, hit.restricted)) for hit in hits]


def documents_tool(index: Index) -> Callable[..., Told]:
    """The tool over an index."""

    def search_documents(query: str, groups: Annotated[frozenset[str], Given] = frozenset()) -> Told:
        """Search the team's own documents."""
        return listed(Documents(index).find(query, groups), query)

    return search_documents


def documents_asked(question: str) -> list[dict[str, Any]]:
    """What a question plainly wants to have searched in the documents."""
    return query_in(ASKS, question)
