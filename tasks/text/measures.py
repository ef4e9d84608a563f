"""Figures about texts, as pure functions. A language without spaces counts in characters where others count in words."""

import re
import unicodedata
from collections import Counter
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


def chrf(answer: str, reference: str, order: int = 6, beta: float = 2.0) -> float:
    """Character n-gram F-score from 0 to 1 (Popovic 2015), spaces ignored; works for Japanese, where word-based measures give 0."""
    a, r = "".join(answer.split()), "".join(reference.split())
    scores = []
    for n in range(1, order + 1):
        own, wanted = (Counter(ngrams(text, n)) for text in (a, r))
        if not wanted or not own:
            continue
        common = sum((own & wanted).values())
        precision, recall = common / sum(own.values()), common / sum(wanted.values())
        scores.append((1 + beta**2) * precision * recall / (beta**2 * precision + recall) if common else 0.0)
    return sum(scores) / len(scores) if scores else 0.0
