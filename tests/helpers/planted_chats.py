"""Planted chatbots for the gate: a question is answered right with a probability of its document, and told to be unanswerable with another."""

from typing import Any

import numpy as np

from tests.helpers.chat_rows import Row, asked

ENDINGS = ("correct", "wrong", "unsure", "unanswered")


def gate_rows(rng: np.random.Generator, documents: int, english: float | None, anew: float, better: float = 0.0) -> list[Row]:
    """Rows of a champion and a release on the same questions.

    Args:
        english: share of the documents that are in English; None draws the language of each question by itself, as where documents have twins.
        anew: share of the answers that the release draws for itself; the others are the champion's.
        better: share of the release's answers that are right for sure.
    """
    rows = []
    for document in range(documents):
        ease = float(rng.beta(2, 1))
        for question in range(int(rng.integers(1, 9))):
            is_english = rng.random() < 0.5 if english is None else (document + 0.5) / documents < english
            about: dict[str, Any] = {"lang": "en" if is_english else "ja", "document": str(document)}
            for suite in ("answerable", "left_out"):
                ending = _ending(suite, ease, rng)
                own = _ending(suite, ease, rng) if rng.random() < anew else ending
                if suite == "answerable" and rng.random() < better:
                    own = "correct"
                rows += [
                    _row(model, f"{document} {question}", suite, end) | about for model, end in (("champion", ending), ("release", own))
                ]
    return rows


def resampled(rng: np.random.Generator, samples: list[list[Row]]) -> list[Row]:
    """Rows of a gate of a release against itself: documents drawn with replacement, and of each item the answers of two different samples.

    Args:
        samples: rows of one and the same release, asked again and again with other seeds.
    """
    documents = sorted({row["document"] for row in samples[0]})
    by_document = {name: [place for place, row in enumerate(samples[0]) if row["document"] == name] for name in documents}
    rows = []
    for number, name in enumerate(rng.choice(documents, len(documents))):
        for place in by_document[name]:
            for model, sample in zip(("release", "champion"), rng.permutation(len(samples))[:2], strict=True):
                row = samples[sample][place]
                rows.append(row | {"model": model, "item_id": f"{number} {samples[0][place]['item_id']}", "document": str(number)})
    return rows


def _ending(suite: str, ease: float, rng: np.random.Generator) -> str:
    if suite == "left_out":
        return "unanswered" if rng.random() < 0.7 else "wrong"
    return str(rng.choice(ENDINGS, p=[ease, *[(1 - ease) / 3] * 3]))


def _row(model: str, item: str, suite: str, ending: str) -> Row:
    outcome = "answered" if ending in ("correct", "wrong") else ending
    return asked(model, item, outcome, suite, right=ending == "correct")
