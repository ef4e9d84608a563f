"""The terms of a text, by which it is found and compared: stems of words, and of scripts without spaces characters and pairs of them."""

import re
import unicodedata
from functools import cache, lru_cache

from tasks.text.language import languages


@cache
def _tokens() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(one term each, runs that are terms as a whole), of all languages."""
    characters = "".join(language.CHARACTERS for language in languages().values())
    whole = "|".join(language.WHOLE for language in languages().values() if language.WHOLE)
    return re.compile(rf"[{characters}]|[^\W_{characters}]+"), re.compile(whole)


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """The word's stem by the first language that has one, else the word."""
    return next((stemmed for language in languages().values() if (stemmed := language.stem(word)) is not None), word)


def terms(text: str) -> list[str]:
    """Stems of words; of characters that are terms, pairs of neighbours (also across scripts: 「第16回」 holds 第16 and 16回) and whole runs. After NFKC."""
    tokens, whole = _tokens()
    text = unicodedata.normalize("NFKC", text).lower()
    counted, before, end = [f"|{run}|" for run in whole.findall(text)], "", -1
    for token in tokens.finditer(text):
        word = token[0]
        counted.append(stem(word))
        if token.start() == end:
            counted.append(before + word)
        before, end = word, token.end()
    return counted


def subject(query: str) -> str:
    """A question without the phrase that only makes it a question: with character pairs, 「とは何ですか」 would match every text that asks."""
    rest = query.strip()
    for language in languages().values():
        rest = language.ASKING.sub("", rest)
    return rest or query


@lru_cache(maxsize=200_000)
def weight(term: str) -> float:
    """What a term of a question counts for, by the language that gives it least."""
    return min(language.weight(term) for language in languages().values())


@lru_cache(maxsize=200_000)
def is_function(term: str) -> bool:
    """Whether a term says how something is asked, not what about, in any language."""
    return any(language.is_function(term) for language in languages().values())
