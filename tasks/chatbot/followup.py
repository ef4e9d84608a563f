"""Questions that only make sense after another: found by searching alone and together with what was asked before, and taking the better.

A question joined with another one about something else finds that other thing, and one that points back finds nothing alone. Which of the two it
is, is told by how well each search does (`Hit.score`, in standard deviations) and by what the question says: words that point back, beginnings
that go on, names that the documents know, and length. By rule: a small model's rewriting adds more errors than it mends. The whole of the earlier
question is joined; its subject alone measured worse. Values were chosen on the half "develop" of `benchmarks/followups.*.jsonl`, on half of the
questions of the examples and of a handbook after random others, and on the handbook's own chains; they lie on a plain, not on a peak.
"""

import unicodedata
from collections.abc import Callable, Sequence

from tasks.chatbot.language import languages
from tasks.chatbot.smalltalk import is_small_talk
from tasks.rag.retrieval import Hit
from tasks.text.detection import detect
from tasks.text.terms import is_function, terms

LINKS = 2  # questions back that are joined at most
LONGEST = 300  # characters of an earlier question that are joined: an embedder reads the beginning of a text
# How much worse the joined search may be and still be taken, in units of `Hit.score`; below 0, how much better it must be.
POINTS = 5.0  # for a word that points back, or where nothing is said of what the question is about
CONTINUES = 1.25  # for a beginning that goes on with what was said
NAMES = -2.0  # for a name that the documents know
WORD = -0.5  # for each word that says what the question is about beyond `FEW`, and as much the other way for each below
FEW = 3
ANTECEDENT = 3  # words before a pronoun, among which its noun is: "my script asks for a passphrase, where do I write it"


def look_up(
    question: str, earlier: Sequence[str], search: Callable[[str], list[Hit]], rarity: Callable[[str], float]
) -> tuple[str, list[Hit]]:
    """What a question was searched by, and the hits: of the question alone, or of it and those before it, whichever is the better.

    Args:
        earlier: what the same person said before, the newest last; small talk among it does not count.
        search: hits of a text, best first.
        rarity: of a term in the documents; a term that none has is as rare as can be.
    """
    alone, *joined = [(text, search(text)) for text in _readings(question, earlier)]
    if not joined:
        return alone
    best = max(joined, key=_score)
    return best if _score(best) + leaning(question, rarity) > _score(alone) else alone


def leaning(question: str, rarity: Callable[[str], float]) -> float:
    """How much a question leans on an earlier one, in units of `Hit.score`: above 0 it does, and is searched together with it even where that
    finds what fits a bit worse."""
    question = unicodedata.normalize("NFKC", question)
    language = languages()[detect(question)]
    pointing, words = language.REFERRING.search(question), _words(question)
    if not words or (pointing and len(_words(question[: pointing.start()])) < ANTECEDENT):
        return POINTS
    lean = WORD * (len(words) - FEW)
    if any(_is_known(thing[thing.lastindex or 0], rarity) for thing in language.NAMING.finditer(question)):
        lean = min(lean, 0.0) + NAMES  # however short: it says what it is about
    return lean + (CONTINUES if language.CONTINUING.search(question) else 0.0)


def _readings(question: str, earlier: Sequence[str]) -> list[str]:
    """The question alone, with the one before it, with the two before it."""
    asked = [text[:LONGEST] for text in earlier if not is_small_talk(text)]
    return [" ".join([*asked[len(asked) - back :], question]) for back in range(min(LINKS, len(asked)) + 1)]


def _score(found: tuple[str, list[Hit]]) -> float:
    """Of the best hit; below all where there is none."""
    return max((hit.score for hit in found[1]), default=float("-inf"))


def _words(text: str) -> set[str]:
    """The words that say what a question is about."""
    found = languages()[detect(text)].WORD.findall(text.lower())
    return {word for word in found if not all(is_function(term) for term in terms(word))}


def _is_known(thing: str, rarity: Callable[[str], float]) -> bool:
    """Whether the documents have all terms of a thing that a question names."""
    asked, unknown = terms(thing), rarity("")  # no text has an empty term
    return not all(is_function(term) for term in asked) and all(rarity(term) < unknown for term in asked)
