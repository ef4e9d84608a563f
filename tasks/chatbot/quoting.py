"""The sentence of the sources that answers a question best, for answers that the model does not write itself."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from tasks.chatbot.events import Source
from tasks.chatbot.language import languages
from tasks.text.detection import detect
from tasks.text.sentences import sentences
from tasks.text.terms import subject, terms

DEFINES = 2.0  # how much more a sentence is worth that begins with what the question asks about


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


def best_sentence(question: str, sources: list[Source], rarity: Callable[[str], float]) -> tuple[Source, str]:
    """The sentence of the sources that shares the rarest terms with the question; earlier ones, texts in the question's language and, where it
    asks what something is, sentences that begin with it are favoured."""
    asked, lang, opening = set(terms(subject(question))), detect(question), definition(question)

    def worth(source: Source, rank: int, sentence: str) -> float:
        shared = sum(rarity(term) for term in asked & set(terms(sentence)))
        return shared / (2 + rank) * (1.0 if source.lang == lang else 0.5) * (DEFINES if opening and opening.match(sentence) else 1.0)

    candidates = [(worth(source, rank, text), source, text) for rank, source in enumerate(sources) for text in sentences(source.text)]
    _, source, sentence = max(candidates, key=lambda candidate: candidate[0])
    return source, sentence


def quoted(lang: str, source: Source, sentence: str) -> str:
    """A sentence with the document that it comes from, as an answer."""
    return languages()[lang].QUOTED.format(title=source.title, sentence=sentence)
