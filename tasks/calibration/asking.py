"""The team's questions asked of an index, as it is and without the documents that answer them: what the confidence is fitted on."""

from collections.abc import Iterator, Mapping, Sequence

from tasks.calibration.fitting import Case
from tasks.chatbot.engine import source_of
from tasks.chatbot.language import languages
from tasks.chatbot.quoting import best_sentences, quoted
from tasks.data.records import Question
from tasks.rag.confidence import LOOKED_AT, READ
from tasks.rag.meaning import Asked
from tasks.rag.retrieval import Hit, Retriever
from tasks.text.judging import accepts


def cases(retriever: Retriever, question: Question, asked: Asked, groups: Mapping[str, str]) -> Iterator[Case]:
    """The two cases of a question about a document that the index holds, fewer where nothing is found.

    Args:
        asked: the question as vectors.
        groups: by document, what is on one side of a fold.
    """
    for index, answered in ((retriever, True), (retriever.without({question.document, *question.also}), False)):
        hits = index.search_all([question.question], LOOKED_AT, index.groups, asked=[asked])[0]
        if hits:
            signs = index.signs(question.question, hits, index.groups, asked)
            right = _quoted_right(index, question, hits, asked) if answered and question.accept else None
            yield Case(question.id, asked.lang, signs, answered, right, groups[question.document])


def _quoted_right(index: Retriever, question: Question, hits: Sequence[Hit], vectors: Asked) -> bool:
    """Whether the best sentences of the first hits hold what any right answer contains."""
    sources = [source_of(hit, number) for number, hit in enumerate(hits[:READ], 1)]
    read = index.sentences(question.question, [source.chunk_id for source in sources], vectors)
    quotes = best_sentences(question.question, sources, index.rarity, read, languages()[vectors.lang].QUOTE_CHARACTERS)
    return accepts(quoted(vectors.lang, quotes), question.accept)
