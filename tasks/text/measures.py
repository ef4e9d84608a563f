"""Figures about texts, as pure functions. A language without spaces counts in characters where others count in words."""

import re
import unicodedata
from collections.abc import Sequence

from tasks.text.language import languages
from tasks.text.ngrams import ngrams


def units(text: str, lang: str) -> list[str]:
    """What n-grams are made of: words and signs, or the characters of a language whose words do not stand apart."""
    if not languages()[lang].WORDS_APART:
        return [c for c in unicodedata.normalize("NFKC", text) if not c.isspace()]
    return re.findall(r"\w+|[^\w\s]", text.lower())


def distinct_n(texts: Sequence[str], langs: Sequence[str], n: int = 2) -> float:
    """Share of different n-grams among all n-grams of all texts (Li et al. 2016); 0 for no n-grams."""
    grams = [tuple(gram) for text, lang in zip(texts, langs, strict=True) for gram in ngrams(units(text, lang), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def is_refusal(text: str) -> bool:
    """Whether an answer declines to answer, told by set phrases of every language."""
    return any(language.REFUSALS.search(text) for language in languages().values())
