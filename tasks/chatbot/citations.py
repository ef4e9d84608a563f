"""Which source supports a sentence of an answer, checked in code: a model's own word for it proves nothing.

A sentence rests on the one or two sentences of a chunk that are likest to it. It is supported by the share of its character n-grams that they
hold, and not at all where it claims something else than they do: another number, unit, name, comparison or negation, or these in another order.
N-grams need no tokenizer, work in languages with and without spaces alike and forgive inflection; they do not see one digit or one "not".
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from tasks.chatbot.alignment import contradiction, passage
from tasks.chatbot.claims import Claim, claims, in_figures
from tasks.chatbot.events import Sentence, Source
from tasks.chatbot.language import languages
from tasks.text.detection import detect
from tasks.text.language import languages as text_languages
from tasks.text.ngrams import ngrams, plain
from tasks.text.sentences import sentences

MARK = re.compile(r"\s*\[(\d{1,2})\]")  # a model's own citation, which is not believed and not shown
LIKEST = 3  # sentences of a chunk with which one is compared
ENOUGH, NOTHING = 0.8, 0.3  # shares from which a second sentence is not looked for, and below which one is not read
END = re.compile(r"[.!?\u3002\uff01\uff1f\uff0e\uff61\s]+$")


@lru_cache(maxsize=64)
def _read(text: str, n: int, apart: bool) -> list[tuple[str, frozenset[str]]]:
    """Each sentence of a chunk, with its n-grams."""
    return [(part, _grams(part, n, apart)) for part in sentences(text)]


def _grams(text: str, n: int, apart: bool) -> frozenset[str]:
    text = plain(in_figures(text))
    text = text if apart else text.replace(" ", "")  # a space says nothing there
    return frozenset(ngrams(text, n) or [text])


def support(sentence: str, evidence: str, heading: str = "") -> float:
    """Share of the sentence's character n-grams that one or two sentences of the evidence hold, 0 to 1; 0 where it claims what they do not.

    Args:
        heading: what the evidence is about; a subject may come from it.
    """
    sentence = MARK.sub("", sentence).strip()
    lang = detect(sentence)
    n, apart = languages()[lang].NGRAM, text_languages()[lang].WORDS_APART
    if not plain(sentence):
        return 0.0
    wanted = _grams(sentence, n, apart)
    read = _read(evidence, n, apart)
    if any(_bare(sentence) == _bare(part) for part, _ in read):
        return 1.0
    about = _grams(heading, n, apart) if heading else frozenset()
    own, subject = claims(sentence), claims(heading)
    likest = sorted(range(len(read)), key=lambda k: (-len(wanted & read[k][1]), k))[:LIKEST]
    best = 0.0
    for places in _candidates(likest, wanted, read):
        held = about.union(*(read[k][1] for k in places))
        share = len(wanted & held) / len(wanted)
        if share > max(best, NOTHING) and not _refuted(own, subject, [read[k][0] for k in places]):
            best = share
    return best


def _candidates(likest: list[int], wanted: frozenset[str], read: list[tuple[str, frozenset[str]]]) -> list[tuple[int, ...]]:
    """Single sentences, likest first, then the likest two with whichever holds most of what they lack, in the order of the text."""
    found: list[tuple[int, ...]] = [(k,) for k in likest]
    for first in likest[:2]:
        lacking = wanted - read[first][1]
        others = [k for k in range(len(read)) if k != first]
        if len(lacking) > (1 - ENOUGH) * len(wanted) and others:
            pair = tuple(sorted((first, max(others, key=lambda k: len(lacking & read[k][1])))))
            if pair not in found:
                found.append(pair)
    return found


def _refuted(own: tuple[Claim, ...], subject: tuple[Claim, ...], parts: list[str]) -> str:
    return contradiction(own, passage(subject, *(claims(part) for part in parts)))


def _bare(text: str) -> str:
    """A sentence of which only width, spaces and its end do not count."""
    return "".join(END.sub("", unicodedata.normalize("NFKC", text)).split())


def cite(answer: str, sources: Sequence[Source], least: float) -> list[Sentence]:
    """The sentences of an answer, each with the numbers of the sources that support it by at least `least`, the best first."""
    cited = []
    for text in sentences(answer):
        ranked = sorted(
            ((support(text, source.text, source.heading), source.number) for source in sources), key=lambda pair: (-pair[0], pair[1])
        )
        cites = tuple(number for share, number in ranked if share >= least)
        cited.append(Sentence(MARK.sub("", text).strip(), cites, bool(cites)))
    return cited
