"""Telling questions that the documents answer from those that they do not: fits the bundled calibration, and measures it.

    python ../shared/peers/make_retrieval_sets.py SETS
    python benchmarks/answerable.py fit SETS DATA        # prints CONFIDENCE of tasks/text/languages/LANGUAGE/text.py
    python benchmarks/answerable.py measure SETS DATA    # AUROC, and how quoting the best sentences would have ended

DATA has qa/handbook and docs/debian-reference. Questions of an encyclopedia (XQuAD, JaQuAD, JSQuAD) and of the example project are asked twice: of the
whole index, and of the index without the documents that answer them. Those of the handbook are asked once, beside questions that somebody
wrote because the handbook does not answer them (`unanswerable.jsonl`): its chapters answer many a question that another was named for.
Fitted on JaQuAD dev, on the first half of XQuAD's paragraphs, on the even lines of the handbook and on the examples (whose calibration is reported out
of fold, elsewhere); measured on JSQuAD, on all of XQuAD and on its second half, on all of the handbook and on its odd lines.
Each set counts alike, the handbook twice; in each, questions that are answered count as much as those that are not.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from own_words import EXAMPLES, indexed
from retrieval import Embedders, build, bundled_embedders, opened, read
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from tasks.chatbot.engine import source_of
from tasks.chatbot.language import languages
from tasks.chatbot.quoting import best_sentences, quoted
from tasks.rag.confidence import BUNDLED, FEATURES, LOOKED_AT, READ, Calibration, confidence
from tasks.rag.meaning import Asked
from tasks.rag.retrieval import Retriever
from tasks.rag.settings import IndexSettings
from tasks.text.judging import accepts

SETS = {"fit": {"en": ("xquad_en",), "ja": ("jaquad",)}, "measure": {"en": ("xquad_en",), "ja": ("jsquad",)}}
SIGNS = {  # of each language; the others have no weight there
    "en": ("subject", "sentence", "companion", "sentence_cover", "score_gap"),
    "ja": ("subject", "sentence", "contrast", "chunk_cover"),
}
HANDBOOK = 2  # what it counts for beside the others
LANGUAGES = ("en", "ja")


@dataclass(frozen=True)
class Sample:
    """A question asked once: what the signs say, whether the documents answer it, and whether quoting the best sentences would."""

    signs: np.ndarray
    answered: bool
    right: bool
    chosen: bool  # whether it is of the half that is fitted on


@dataclass(frozen=True)
class Question:
    """A question with the documents that answer it (none does where there are none)."""

    text: str
    accept: list[str]
    documents: list[str]
    chosen: bool


def asked_of(retriever: Retriever, question: Question, vectors: Asked, answered: bool) -> Sample | None:
    """A question asked of an index; None where nothing is found."""
    hits = retriever.search_all([question.text], LOOKED_AT, asked=[vectors])[0]
    if not hits:
        return None
    lang, sources = vectors.lang, [source_of(hit, number) for number, hit in enumerate(hits[:READ], 1)]
    sentences = retriever.sentences(question.text, [source.chunk_id for source in sources], vectors)
    quotes = best_sentences(question.text, sources, retriever.rarity, sentences, languages()[lang].QUOTE_CHARACTERS)
    right = bool(question.accept) and accepts(quoted(lang, quotes), question.accept)
    return Sample(retriever.signs(question.text, hits, frozenset(), vectors), answered, right, question.chosen)


def samples(retriever: Retriever, questions: list[Question], twice: bool) -> list[Sample]:
    """Each question asked of the whole index and, if `twice`, of the index without the documents that answer it."""
    found = []
    for question, vectors in zip(questions, retriever.meaning.ask([question.text for question in questions]), strict=True):
        found.append(asked_of(retriever, question, vectors, bool(question.documents)))
        if twice:
            found.append(asked_of(retriever.without(question.documents), question, vectors, False))
    return [sample for sample in found if sample is not None]


def encyclopedia(folder: Path, limit: int, embedders: Embedders) -> list[Sample]:
    """Paragraphs whose questions repeat their words. No article is on both sides of a half."""
    corpus, rows = read(folder / "corpus.jsonl"), read(folder / "questions.jsonl")
    first = {row["id"] for row in corpus[: len(corpus) // 2]}
    random.Random(0).shuffle(rows)
    questions = [Question(row["question"], row["answers"], [row["id"]], row["id"] in first) for row in rows[: limit or None]]
    with tempfile.TemporaryDirectory() as place:
        build(Path(place), corpus, embedders, IndexSettings())
        return samples(opened(Path(place), embedders), questions, twice=True)


def handbook(data: Path, embedders: Embedders) -> Iterator[tuple[str, list[Sample]]]:
    """By language, what people ask of a handbook in their own words."""
    folder = data / "qa" / "handbook"
    with tempfile.TemporaryDirectory() as place:
        retriever = indexed(data / "docs" / "debian-reference", embedders, IndexSettings(), Path(place))
        for lang in LANGUAGES:
            answered = [row for row in read(folder / "questions.jsonl") if row["lang"] == lang]
            others = [row for row in read(folder / "unanswerable.jsonl") if row["lang"] == lang]
            questions = [Question(row["question"], row["accept"], [row["document"]], i % 2 == 0) for i, row in enumerate(answered)]
            questions += [Question(row["question"], [], [], i % 2 == 0) for i, row in enumerate(others)]
            yield lang, samples(retriever, questions, twice=False)


def examples(embedders: Embedders) -> Iterator[tuple[str, list[Sample]]]:
    """By language, the example project's questions."""
    with tempfile.TemporaryDirectory() as place:
        retriever = indexed(EXAMPLES / "documents", embedders, IndexSettings(), Path(place))
        for lang in LANGUAGES:
            rows = read(EXAMPLES / f"questions.{lang}.jsonl")
            questions = [Question(row["question"], row["accept"], [row["document"], *row.get("also", [])], True) for row in rows]
            yield lang, samples(retriever, questions, twice=True)


def fit(sets: dict[str, list[Sample]], lang: str) -> tuple[float, tuple[float, ...]]:
    """(bias, weights) for the features as they are; those that are no signs of the language weigh nothing."""
    used = [FEATURES.index(name) for name in SIGNS[lang]]
    rows, labels, weights = [], [], []
    for name, own in sets.items():
        chosen = [sample for sample in own if sample.chosen or name == "jaquad"]
        total = {answered: sum(sample.answered == answered for sample in chosen) for answered in (True, False)}
        rows += [sample.signs[used] for sample in chosen]
        labels += [sample.answered for sample in chosen]
        weights += [500 * (HANDBOOK if name == "handbook" else 1) / total[sample.answered] for sample in chosen]
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(C=0.1, max_iter=5000).fit(scaler.transform(rows), labels, sample_weight=weights)
    coefficients = np.zeros(len(FEATURES))
    coefficients[used] = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - coefficients[used] @ scaler.mean_)
    return round(bias, 3), tuple(round(float(weight), 3) for weight in coefficients)


def figures(own: list[Sample], fitted: Calibration) -> dict[str, Any]:
    """AUROC and Brier score; of the questions that are answered, the shares quoted right and wrong, not sure and turned away; of the others
    those that are told (or not sure) and those that are quoted without what the question asks for."""
    scores = np.array([confidence(sample.signs, fitted) for sample in own])
    answered, right = (np.array([getattr(sample, name) for sample in own]) for name in ("answered", "right"))
    least, sure = fitted.thresholds(1.0)
    shares = {
        "right": ((scores >= sure) & right)[answered],
        "wrong": ((scores >= sure) & ~right)[answered],
        "unsure": ((scores >= least) & (scores < sure))[answered],
        "turned_away": (scores < least)[answered],
        "told": (scores < sure)[~answered],
        "wrong_of_unanswerable": ((scores >= sure) & ~right)[~answered],
        "unsure_of_unanswerable": ((scores >= least) & (scores < sure))[~answered],
    }
    found = {"asked": len(own), "auroc": round(roc_auc_score(answered, scores), 4), "brier": round(brier_score_loss(answered, scores), 4)}
    return found | {name: round(float(share.mean()), 3) for name, share in shares.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("command", choices=SETS)
    arguments.add_argument("sets", type=Path)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--limit", type=int, default=1000, help="questions of each encyclopedia; 0 takes all")
    given = arguments.parse_args()
    embedders = bundled_embedders()
    found: dict[str, dict[str, list[Sample]]] = {lang: {} for lang in LANGUAGES}
    for lang in LANGUAGES:
        for name in SETS[given.command][lang]:
            found[lang][name] = encyclopedia(given.sets / name, given.limit, embedders)
    for lang, own in handbook(given.data, embedders):
        found[lang]["handbook"] = own
    for lang, own in examples(embedders):
        found[lang]["examples"] = own
    for lang, sets in found.items():
        fitted = BUNDLED[lang]
        if given.command == "fit":
            bias, weights = fit(sets, lang)
            fitted = Calibration(bias, weights, fitted.least, fitted.sure)
            print(f"{lang}: CONFIDENCE =", {"bias": bias} | dict(zip(FEATURES, weights, strict=True)))
        for name, own in sets.items():
            halves = {"chosen on": True, "reported": False}
            parts = {half: [sample for sample in own if sample.chosen == chosen] for half, chosen in halves.items()} | {"all": own}
            for half, part in parts.items():
                if part and (half == "all" or len(part) < len(own)):
                    print(json.dumps({"set": name, "lang": lang, "part": half} | figures(part, fitted)), flush=True)


if __name__ == "__main__":
    main()
