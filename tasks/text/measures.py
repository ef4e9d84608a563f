"""Figures about texts, as pure functions. Japanese counts in characters where English counts in words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

REFUSALS = re.compile(
    r"\b(i (can(no|')t|am (unable|not able|sorry)|do(n't| not) know)\b|i'm (sorry|unable|not able)\b|as an ai\b|sorry, (but )?i\b)|"
    r"(できません|お答えでき(ません|かねます)|わかりません|分かりません|申し訳(ありません|ございません)|お手伝いできません)",
    re.IGNORECASE,
)


def units(text: str, lang: str) -> list[str]:
    """What n-grams are made of: words, or characters for Japanese."""
    if lang == "ja":
        return [c for c in unicodedata.normalize("NFKC", text) if not c.isspace()]
    return re.findall(r"\w+|[^\w\s]", text.lower())


def distinct_n(texts: Sequence[str], langs: Sequence[str], n: int = 2) -> float:
    """Share of different n-grams among all n-grams of all texts (Li et al. 2016); 0 for no n-grams."""
    grams = [
        tuple(part[i : i + n])
        for text, lang in zip(texts, langs, strict=True)
        for part in [units(text, lang)]
        for i in range(len(part) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 0.0


def is_refusal(text: str) -> bool:
    """Whether an answer declines to answer, told by set phrases of both languages."""
    return bool(REFUSALS.search(text))


def chrf(answer: str, reference: str, order: int = 6, beta: float = 2.0) -> float:
    """Character n-gram F-score from 0 to 1 (Popovic 2015), spaces ignored; works for Japanese, where word-based measures give 0."""
    a, r = "".join(answer.split()), "".join(reference.split())
    scores = []
    for n in range(1, order + 1):
        own, wanted = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (a, r))
        if not wanted or not own:
            continue
        common = sum((own & wanted).values())
        precision, recall = common / sum(own.values()), common / sum(wanted.values())
        scores.append((1 + beta**2) * precision * recall / (beta**2 * precision + recall) if common else 0.0)
    return sum(scores) / len(scores) if scores else 0.0
