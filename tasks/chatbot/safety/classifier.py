"""A linear classifier of harmful requests: which words, runs of characters and rule signals a request has, weighed and summed.

Without scikit-learn at the time of an answer: a request costs a fraction of a millisecond. Kept as plain weights and names, never pickled.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.chatbot.safety.rules import signals
from tasks.chatbot.safety.text import plain
from tasks.data.language import detect
from tasks.errors import MigakiError

WORDS = re.compile(r"[a-z0-9']+")
WEIGHTS, FACTS = "weights.npy", "classifier.json"
LONGEST = 2000  # characters of a request that are read: its start and its end


def features(text: str) -> frozenset[str]:
    """Names of what a request has: words and pairs of words, runs of 3 to 5 characters inside words (2 to 4 for Japanese), rule signals."""
    bare = plain(text if len(text) <= LONGEST else text[: LONGEST // 2] + " " + text[-LONGEST // 2 :])
    words = WORDS.findall(bare)
    found = {f"w {word}" for word in words} | {f"w {a} {b}" for a, b in zip(["^", *words], [*words, "$"], strict=True)}
    if detect(text) == "ja":
        found |= {f"c {gram}" for gram in _runs(re.sub(r"[\s、。?!「」]", "", bare), 1, 4)}
    else:
        found |= {f"c {gram}" for word in words for gram in _runs(f" {word} ", 3, 5)}
    return frozenset(found) | {f"r {signal}" for signal in signals(text)}


def _runs(text: str, shortest: int, longest: int) -> Iterable[str]:
    return (text[i : i + n] for n in range(shortest, longest + 1) for i in range(len(text) - n + 1))


@dataclass(frozen=True)
class Classifier:
    """`score` is the probability that a request is harmful; from `thresholds[lang]` on it counts as such."""

    weights: Mapping[str, float]
    bias: float
    thresholds: Mapping[str, float]

    def score(self, text: str) -> float:
        """Logistic regression on binary features, weighed by rarity and brought to length 1 (both are in the weights but for the length)."""
        known = [self.weights[name] for name in features(text) if name in self.weights]
        return 1 / (1 + math.exp(-(self.bias + sum(known) / math.sqrt(len(known) or 1))))

    def save(self, folder: Path) -> None:
        """Write `weights.npy` (float32) and `classifier.json` (their names, bias, thresholds)."""
        import numpy as np  # here, so that help and settings do not wait for it

        names = sorted(self.weights)
        np.save(folder / WEIGHTS, np.array([self.weights[name] for name in names], dtype=np.float32), allow_pickle=False)
        facts = {"bias": self.bias, "thresholds": dict(self.thresholds), "features": names}
        (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Read what `save` wrote.

        Raises:
            MigakiError: a file is missing or damaged.
        """
        import numpy as np

        try:
            weights = np.load(folder / WEIGHTS, allow_pickle=False).tolist()
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            return cls(dict(zip(facts["features"], weights, strict=True)), facts["bias"], facts["thresholds"])
        except (OSError, ValueError, KeyError) as error:
            raise MigakiError(f"the safety classifier in {str(folder)!r} cannot be read ({error}): train it again with `migaki safety`") from error
