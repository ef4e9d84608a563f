"""Which source supports a sentence of an answer, checked in code: a model's own word for it proves nothing.

A sentence is supported by a chunk that holds most of its character n-grams and every number in it. N-grams need no tokenizer, work in
languages with and without spaces alike and forgive inflection; numbers are what a small model most often gets wrong in an otherwise copied sentence.
"""

import re
from collections.abc import Sequence

from tasks.chatbot.events import Sentence, Source
from tasks.chatbot.language import languages
from tasks.text.detection import detect
from tasks.text.language import languages as text_languages
from tasks.text.ngrams import ngrams, plain
from tasks.text.sentences import sentences

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
MARK = re.compile(r"\s*\[(\d{1,2})\]")  # a model's own citation, which is not believed and not shown


def support(sentence: str, evidence: str) -> float:
    """Share of the sentence's character n-grams that the evidence holds, 0 to 1; 0 where it lacks a number of the sentence."""
    wanted, given = plain(MARK.sub("", sentence)), plain(evidence)
    if not wanted or set(NUMBER.findall(wanted)) - set(NUMBER.findall(given)):
        return 0.0
    lang = detect(sentence)
    n = languages()[lang].NGRAM
    if not text_languages()[lang].WORDS_APART:  # a space says nothing there
        wanted, given = wanted.replace(" ", ""), given.replace(" ", "")
    parts, held = ngrams(wanted, n) or [wanted], set(ngrams(given, n) or [given])
    return sum(part in held for part in parts) / len(parts)


def cite(answer: str, sources: Sequence[Source], least: float) -> list[Sentence]:
    """The sentences of an answer, each with the numbers of the sources that support it by at least `least`, the best first."""
    cited = []
    for text in sentences(answer):
        ranked = sorted(
            ((support(text, f"{source.heading}\n{source.text}"), source.number) for source in sources), key=lambda pair: (-pair[0], pair[1])
        )
        cites = tuple(number for share, number in ranked if share >= least)
        cited.append(Sentence(MARK.sub("", text).strip(), cites, bool(cites)))
    return cited
