"""How harmful a request is by what it means: a support vector machine over the unit vectors of the index's embedder.

Words tell little of a request that is put otherwise than every example; its vector lies near theirs all the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

GAMMA, COST = 1.0, 3.0  # of the kernel and of a wrong example; twice or three times as much changes little
VECTORS, FACTS = "vectors.npy", ("gamma", "bias", "languages", "mix", "embedder", "backend", "fingerprint")


@dataclass(frozen=True)
class Meaning:
    """A machine with a radial kernel (Cortes & Vapnik 1995), and how its margin is put together with the words' logit.

    Args:
        vectors: (supports, dimension) unit vectors of the examples that the margin rests on.
        weights: (supports,) of each, positive for harmful ones.
        languages: those of which the embedder knows the meaning.
        mix: weights of the words' logit and of the margin, and a constant: their sum is the logit of both (stacking, Wolpert 1992).
        embedder: reference of the model that made the vectors.
        backend: that ran it.
        fingerprint: of that model (`Embedder.fingerprint`).
    """

    vectors: np.ndarray
    weights: np.ndarray
    bias: float
    gamma: float = GAMMA
    languages: tuple[str, ...] = ()
    mix: tuple[float, float, float] = (0.0, 1.0, 0.0)
    embedder: str = ""
    backend: str = "torch"
    fingerprint: str = ""

    def margin(self, vector: np.ndarray) -> float:
        """Signed distance of a request's unit vector from the border, in units of the margin; harmful above 0."""
        return float(np.exp(2 * self.gamma * (self.vectors @ vector - 1)) @ self.weights) + self.bias  # |a-b|^2 = 2 - 2ab

    def logit(self, words: float, vector: np.ndarray) -> float:
        """Of words and meaning together."""
        a, b, constant = self.mix
        return a * words + b * self.margin(vector) + constant

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the vectors with their weights; returns the facts for the classifier's own file."""
        np.save(folder / VECTORS, np.column_stack([self.weights, self.vectors]).astype(np.float32), allow_pickle=False)
        return {name: getattr(self, name) for name in FACTS}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> Self:
        """Read what `save` wrote. Raises OSError, ValueError or TypeError: a file is missing or damaged."""
        rows = np.load(folder / VECTORS, allow_pickle=False)
        return cls(rows[:, 1:], rows[:, 0], **facts | {name: tuple(facts[name]) for name in ("languages", "mix")})


def fit_meaning(vectors: np.ndarray, harmful: np.ndarray, counts: np.ndarray) -> Meaning:
    """A machine of (examples, dimension) unit vectors, of which (examples,) are `harmful`; `counts` says how much each example counts."""
    from sklearn.svm import SVC  # here: it takes a second to import, which answering does not need

    machine = SVC(C=COST, gamma=GAMMA, class_weight="balanced").fit(vectors, harmful, counts)
    return Meaning(machine.support_vectors_.astype(np.float32), machine.dual_coef_[0].astype(np.float32), float(machine.intercept_[0]))


def stacked(words: np.ndarray, margins: np.ndarray, harmful: np.ndarray) -> tuple[float, float, float]:
    """`Meaning.mix` from the (examples,) logits and margins that classifiers gave to what they had not seen."""
    from sklearn.linear_model import LogisticRegression  # here: it takes a second to import, which answering does not need

    model = LogisticRegression(C=100, class_weight="balanced").fit(np.column_stack([words, margins]), harmful)
    return float(model.coef_[0, 0]), float(model.coef_[0, 1]), float(model.intercept_[0])
