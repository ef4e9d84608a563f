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


def repetition(text: str, lang: str, n: int = 4) -> float:
    """Share of n-grams that occurred earlier in the text (Welleck et al. 2020, "seq-rep-n"); 0 for a text too short to have any."""
    grams = list(map(tuple, ngrams(units(text, lang), n)))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def chrf(text: str, reference: str, order: int = 6, beta: float = 2.0) -> float:
    """Likeness of two texts from 0 to 1: the F-score of their character n-grams, spaces left out (Popović 2015).

    Precision and recall are means over n = 1 to `order`, of those n of which both texts have any; recall counts `beta` times as much, 2 as sacreBLEU
    has it. Texts without any have no likeness. It needs no words, so it is fit for Japanese.
    """
    own, other = ("".join(one.split()) for one in (text, reference))
    precision, recall = [], []
    for n in range(1, order + 1):
        grams, wanted = Counter(ngrams(own, n)), Counter(ngrams(other, n))
        if grams and wanted:
            both = (grams & wanted).total()
            precision.append(both / grams.total())
            recall.append(both / wanted.total())
    p, r = (sum(values) / len(values) if values else 0.0 for values in (precision, recall))
    return (1 + beta**2) * p * r / (beta**2 * p + r) if p or r else 0.0


def is_refusal(text: str) -> bool:
    """Whether an answer declines to answer, told by set phrases of every language."""
    return any(language.REFUSALS.search(text) for language in languages().values())
