"""Telling questions that the index answers from those whose paragraph is not in it: fits the calibration, and measures it.

    python ../shared/peers/make_retrieval_sets.py SETS
    python benchmarks/answerable.py fit SETS        # prints CONFIDENCE of tasks/text/languages/LANGUAGE/text.py
    python benchmarks/answerable.py measure SETS    # AUROC, and what thresholds cost

Each question is asked twice: of the whole index, and of the index without its paragraph (other paragraphs of the same article stay). Fitted
on JaQuAD dev and the first half of XQuAD's paragraphs, measured on JSQuAD and the second half: no article is on both sides.
"""

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from retrieval import Embedders, build, bundled_embedders, opened, read
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flows.running.parameters import BUNDLED_EMBEDDER
from tasks.chatbot.settings import ChatSettings
from tasks.rag.confidence import CALIBRATIONS, FEATURES, Calibration, Thresholds, confidence, features
from tasks.rag.settings import IndexSettings

SETS = {"fit": {"en": ("xquad_en", 0), "ja": ("jaquad", None)}, "measure": {"en": ("xquad_en", 1), "ja": ("jsquad", None)}}
LANGUAGES = ("en", "ja")
HITS = 5


def samples(folder: Path, half: int | None, limit: int, embedders: Embedders) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """(questions * 2, features), whether the paragraph is in the index, and how often it was among the hits where it is."""
    corpus, questions = read(folder / "corpus.jsonl"), read(folder / "questions.jsonl")
    ids = [row["id"] for row in corpus]
    if half is not None:
        wanted = set(ids[: len(ids) // 2] if half == 0 else ids[len(ids) // 2 :])
        questions = [row for row in questions if row["id"] in wanted]
    random.Random(0).shuffle(questions)
    questions = questions[: limit or None]
    with tempfile.TemporaryDirectory() as place:
        build(Path(place), corpus, embedders, IndexSettings())
        retriever = opened(Path(place), embedders)
        asked = retriever.meaning.ask([row["question"] for row in questions])
        rows, labels, found = [], [], 0
        for row, vectors in zip(questions, asked, strict=True):
            for where in ({}, {"document": [name for name in ids if name != row["id"]]}):
                hits = retriever.search_all([row["question"]], HITS, where=where, asked=[vectors])[0]
                if hits:
                    rows.append(features(row["question"], retriever, hits))
                    labels.append(not where)
                    found += row["id"] in {hit.document for hit in hits}
    return np.array(rows), np.array(labels), {"questions": len(questions), "found": round(found / len(questions), 4)}


def fit(rows: np.ndarray, labels: np.ndarray) -> Calibration:
    """Coefficients for the features as they are."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000)).fit(rows, labels)
    scaler, regression = model[0], model[1]
    weights = regression.coef_[0] / scaler.scale_
    bias = float(regression.intercept_[0] - weights @ scaler.mean_)
    return Calibration(round(bias, 3), tuple(round(float(weight), 3) for weight in weights))


def figures(rows: np.ndarray, labels: np.ndarray, scores: np.ndarray, limits: Thresholds) -> dict[str, Any]:
    """AUROC of all features together and of each alone; Brier score; at the chat's thresholds and where one answerable question in ten is lost,
    the share of answerable questions that are turned away and of others that are told."""
    found = {"auroc": round(roc_auc_score(labels, scores), 4), "brier": round(brier_score_loss(labels, scores), 4)}
    for threshold in (limits.least, limits.sure, float(np.quantile(scores[labels], 0.1))):
        shares = {name: float((scores[part] < threshold).mean()) for name, part in (("turned_away", labels), ("told", ~labels))}
        found[f"below {threshold:.2f}"] = {name: round(share, 3) for name, share in shares.items()}
    return found | {"alone": {name: round(roc_auc_score(labels, rows[:, i]), 3) for i, name in enumerate(FEATURES)}}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("command", choices=SETS)
    arguments.add_argument("sets", type=Path)
    arguments.add_argument("--embedder", default=BUNDLED_EMBEDDER)
    arguments.add_argument("--limit", type=int, default=1500, help="questions of each set; 0 takes all")
    arguments.add_argument("--lang", choices=LANGUAGES, action="append", help="only this language")
    given = arguments.parse_args()
    embedders = bundled_embedders(given.embedder)
    for lang in given.lang or LANGUAGES:
        name, half = SETS[given.command][lang]
        rows, labels, about = samples(given.sets / name, half, given.limit, embedders)
        fitted = fit(rows, labels) if given.command == "fit" else CALIBRATIONS[lang]
        scores = np.array([confidence(row, fitted) for row in rows])
        if given.command == "fit":
            print(f"{lang}: CONFIDENCE =", {"bias": fitted.bias} | dict(zip(FEATURES, fitted.weights, strict=True)))
        print(
            json.dumps({"set": name, "lang": lang} | about | figures(rows, labels, scores, fitted.thresholds(ChatSettings().cost_wrong))),
            flush=True,
        )


if __name__ == "__main__":
    main()
