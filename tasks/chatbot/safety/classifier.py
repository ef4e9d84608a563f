"""A classifier of harmful requests: which words, characters and rule signals a request has, weighed and summed; where it was trained with an
embedder, what the request means counts too.

Without scikit-learn at the time of an answer: words cost a fraction of a millisecond. Kept as plain weights and names, never pickled.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from tasks.chatbot.safety.language import languages
from tasks.chatbot.safety.meaning import Meaning
from tasks.chatbot.safety.rules import code_of, signals
from tasks.chatbot.safety.text import plain
from tasks.errors import MigakiError
from tasks.text.detection import detect, language_of
from tasks.text.ngrams import ngrams
from tasks.text.terms import stem

WORDS = re.compile("|".join(language.WORD for language in languages().values()))
FORM = frozenset().union(*(language.FORM for language in languages().values()))
BETWEEN = re.compile(r"[\s、。?!「」]")  # no part of a run of characters
RUN = 4  # characters
WEIGHTS, FACTS = "weights.npy", "classifier.json"
LONGEST = 2000  # characters of a request that are read: its start and its end


def features(text: str) -> frozenset[str]:
    """Names of what a request has: words and stems and pairs of each, where words do not stand apart runs of 1 to 4 characters, and what the rules
    think of it."""
    bare = plain(text if len(text) <= LONGEST else text[: LONGEST // 2] + " " + text[-LONGEST // 2 :])
    words = WORDS.findall(bare)
    stems = [stem(word) for word in words]
    seen = signals(text)
    names = {f"w {word}" for word in words} | {f"w {a} {b}" for a, b in zip(["^", *words], [*words, "$"], strict=True)}
    names |= {f"s {one}" for one in stems} | {f"s {a} {b}" for a, b in pairwise(stems)}
    if not language_of(text).WORDS_APART:
        characters = BETWEEN.sub("", bare)
        names |= {f"c {run}" for n in range(1, RUN + 1) for run in ngrams(characters, n)}
    return frozenset(names) | {f"r {signal}" for signal in seen} | ({"r refused"} if code_of(seen) else set())


def is_form(name: str) -> bool:
    """Whether a feature has only words that say how a request is put."""
    kind, _, words = name.partition(" ")
    return kind in ("w", "s") and FORM.issuperset(words.split())


@dataclass(frozen=True)
class Classifier:
    """`score` is the probability that a request is harmful; from `thresholds[lang]` on it counts as such.

    One with a `meaning` needs `embed`, which gives the unit vector of a text.
    """

    weights: Mapping[str, float]
    bias: float
    thresholds: Mapping[str, float]
    meaning: Meaning | None = None
    embed: Callable[[str], np.ndarray] | None = field(default=None, repr=False, compare=False)

    def score(self, text: str) -> float:
        logit = self.words(text)
        if self.meaning is not None and detect(text) in self.meaning.languages:
            assert self.embed is not None  # whoever loads one with a meaning sets it
            logit = self.meaning.logit(logit, self.embed(text))
        return 1 / (1 + math.exp(-logit))

    def words(self, text: str) -> float:
        """Logistic regression on binary features, weighed by rarity and brought to length 1 (both are in the weights but for the length): its logit."""
        known = [self.weights[name] for name in features(text) if name in self.weights]
        return self.bias + sum(known) / math.sqrt(len(known) or 1)

    def save(self, folder: Path) -> None:
        """Write `weights.npy` (float32), `classifier.json` (their names, bias, thresholds) and what `meaning` needs."""
        names = sorted(self.weights)
        np.save(folder / WEIGHTS, np.array([self.weights[name] for name in names], dtype=np.float32), allow_pickle=False)
        facts = {"bias": self.bias, "thresholds": dict(self.thresholds), "features": names}
        if self.meaning is not None:
            facts["meaning"] = self.meaning.save(folder)
        (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Read what `save` wrote; `embed` is yet to be set where there is a `meaning`.

        Raises:
            MigakiError: a file is missing or damaged.
        """
        try:
            weights = np.load(folder / WEIGHTS, allow_pickle=False).tolist()
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            meaning = Meaning.load(folder, facts["meaning"]) if "meaning" in facts else None
            return cls(dict(zip(facts["features"], weights, strict=True)), facts["bias"], facts["thresholds"], meaning)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MigakiError(
                f"the safety classifier in {str(folder)!r} cannot be read ({error}): train it again with `migaki safety`"
            ) from error
