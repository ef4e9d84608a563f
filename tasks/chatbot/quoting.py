"""The sentences of the sources that answer a question best, for answers that the model does not write itself.

People's questions share few words with their answers, so sentences are weighed by meaning first. One sentence holds what is asked for less often than a
few (handbook, first two chunks, English and Japanese: 0.58 and 0.40 of the answers in the best one, 0.78 and 0.54 in as many as fit), so as many are
quoted as one reads at a glance.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tasks.chatbot.events import Source
from tasks.chatbot.language import languages
from tasks.text.detection import language_of
from tasks.text.sentences import sentences
from tasks.text.terms import is_function, subject, terms

WORDS = 0.1  # cosine that all of the question's words are worth; chosen, as RANK, on the even half of a handbook's questions and on JSQuAD
RANK = 0.01  # cosine that a place further down costs
DEFINES = 0.1  # cosine that it is worth to begin with what the question asks about
GAP = " … "  # between sentences that do not follow each other
Read = Mapping[str, Sequence[tuple[str, float]]]  # by chunk, its sentences with their cosines


@cache
def _around_a_thing() -> tuple[str, str]:
    """Regular expressions of what stands before and behind a thing that a sentence defines, in any language: texts mix them."""
    articles = "|".join(language.ARTICLE for language in languages().values() if language.ARTICLE) or "(?!)"
    defining = "|".join(language.DEFINING for language in languages().values())
    return f"(?:{articles})?", rf"(?:\s*[(\uff08][^)\uff09]*[)\uff09])?(?:{defining})"


def definition(question: str) -> re.Pattern[str] | None:
    """How a sentence begins that says what the question asks about, if it asks what something is."""
    asked = unicodedata.normalize("NFKC", question).strip()
    what_is = next((match for language in languages().values() if (match := language.WHAT_IS.match(asked))), None)
    if what_is is None:
        return None
    before, behind = _around_a_thing()
    return re.compile(f"{before}{re.escape(what_is[1])}{behind}", re.I)


@dataclass(frozen=True)
class Quote:
    """Sentences of a source, as they stand there."""

    source: Source
    text: str


def best_sentences(question: str, sources: Sequence[Source], rarity: Callable[[str], float], read: Read, room: int) -> list[Quote]:
    """What to quote of each source, in the order of the sources: the best sentences of all, as many as fit into `room` characters, one at least.

    Args:
        rarity: of a term of the question.
        read: of the sources' chunks; of one that is missing its words alone count.
    """
    places = [(number, place) for number, source in enumerate(sources) for place in range(len(_sentences(source, read)))]
    worth = _worth(question, sources, rarity, read)
    kept: list[tuple[int, int]] = []
    for number, place in sorted(places, key=lambda at: -worth[at]):
        size = len(_sentences(sources[number], read)[place][0]) + len(GAP)
        if not kept or size <= room:
            kept.append((number, place))
            room -= size
    parts = {number: sorted(place for its, place in kept if its == number) for number, _ in sorted(kept)}
    return [Quote(sources[number], _joined(_sentences(sources[number], read), own)) for number, own in parts.items()]


def _sentences(source: Source, read: Read) -> Sequence[tuple[str, float]]:
    return read.get(source.chunk_id) or [(text, 0.0) for text in sentences(source.text)]


def _worth(question: str, sources: Sequence[Source], rarity: Callable[[str], float], read: Read) -> dict[tuple[int, int], float]:
    """What each sentence is worth, by the number of its source and its place there."""
    opening, asked = definition(question), {term: rarity(term) for term in terms(subject(question)) if not is_function(term)}
    found = {}
    for number, source in enumerate(sources):
        for place, (text, cosine) in enumerate(_sentences(source, read)):
            held = asked.keys() & set(terms(text))
            share = sum(asked[term] for term in held) / (sum(asked.values()) or 1.0)
            found[number, place] = cosine + WORDS * share + DEFINES * bool(opening and opening.match(text)) - RANK * number
    return found


def _joined(parts: Sequence[tuple[str, float]], places: Sequence[int]) -> str:
    """Those sentences one after the other, a mark where some are left out between them."""
    text = parts[places[0]][0]
    for before, place in itertools.pairwise(places):
        space = " " if language_of(text).WORDS_APART else ""
        text += (space if place == before + 1 else GAP) + parts[place][0]
    return text


def quoted(lang: str, quotes: Sequence[Quote]) -> str:
    """Quotes with the documents that they come from, as an answer."""
    return "\n".join(quote_line(lang, quote) for quote in quotes)


def without_notices(answer: str) -> str:
    """An answer without what is said around quotations, as it goes on in the conversation: the model would say that of its own answers."""
    for language in languages().values():
        answer = answer.removeprefix(language.UNSURE).removesuffix(language.QUOTING_BECAUSE)
    return answer.strip()


def quote_line(lang: str, quote: Quote) -> str:
    return languages()[lang].QUOTED.format(title=quote.source.title, sentence=quote.text)
