"""Confidence: what the found chunks say about a question, as signs and as a probability."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from tasks.rag.bm25 import BM25
from tasks.rag.confidence import CALIBRATIONS, FEATURES, WIDEST_GAP, Thresholds, confidence, confidence_of, features


@dataclass
class Found:
    text: str
    heading: str = ""
    score: float = 3.0
    dense: float = 0.5


# A question, the paragraph that answers it, and one of the same article that does not.
CASES = [
    (
        "When did the harbour of Otaru get its first crane?",
        "The harbour of Otaru got its first crane in 1899. It was driven by steam.",
        "The harbour of Otaru lies in the west of Hokkaido. Its warehouses are built of soft stone.",
    ),
    (
        "What powers the lamp of the northern lighthouse?",
        "The lamp of the northern lighthouse is powered by a small wind turbine. Batteries bridge calm days.",
        "The northern lighthouse was painted red in the spring. Its keeper lives in the village.",
    ),
    (
        "小樽港に最初のクレーンが設置されたのは何年ですか。",
        "小樽港に最初のクレーンが設置されたのは1899年である。動力は蒸気だった。",
        "小樽港は北海道の西部にある。倉庫は軟らかい石で建てられた。",
    ),
    (
        "北灯台の灯火の動力は何ですか。",
        "北灯台の灯火の動力は小型の風力発電機である。風のない日は蓄電池で補う。",
        "北灯台は春に赤く塗り直された。灯台守は村に住んでいる。",
    ),
]
INDEX = BM25.build([text for _, *texts in CASES for text in texts] + ["Bread is baked at four.", "米は秋に刈り取る。"] * 10, 0.5, 0.3)


@pytest.mark.parametrize(("question", "answers", "beside"), CASES)
def test_the_paragraph_that_answers_is_told_from_one_of_the_same_article(question, answers, beside):
    present = confidence_of(INDEX, question, [Found(answers), Found(beside, score=1.0)])
    removed = confidence_of(INDEX, question, [Found(beside), Found("Bread is baked at four.", score=1.0)])
    assert 0 < removed < present < 1


def test_nothing_found_answers_nothing():
    assert confidence_of(INDEX, "Anything?", []) == 0.0


def test_every_sign_is_a_finite_number_whatever_is_asked():
    for question in ("", "?", "the", "何", "x" * 500, "🙂", "What is it? それは何?"):
        values = features(question, INDEX, [Found("")])
        assert values.shape == (len(FEATURES),) and np.isfinite(values).all()
        assert 0 <= confidence(values, CALIBRATIONS["ja"]) <= 1


def test_a_sentence_that_holds_the_whole_question_covers_it():
    question, answers, beside = CASES[1]
    signs = dict(zip(FEATURES, features(question, INDEX, [Found(answers)]), strict=True))
    other = dict(zip(FEATURES, features(question, INDEX, [Found(beside)]), strict=True))
    assert signs["sentence_cover"] == pytest.approx(1) and other["sentence_cover"] < 0.7
    assert signs["phrase_cover"] > other["phrase_cover"]


def test_the_heading_counts_for_each_sentence():
    bare, headed = (
        features("northern lighthouse keeper", INDEX, [Found("The keeper sings.", heading)]) for heading in ("", "Northern lighthouse")
    )
    assert headed[FEATURES.index("sentence_cover")] > bare[FEATURES.index("sentence_cover")]


def test_the_gap_is_a_share_of_the_first_score():
    def gap(*scores):
        return features("keeper", INDEX, [Found("The keeper sings.", score=score) for score in scores])[FEATURES.index("score_gap")]

    assert gap(4.0, 4.0) == 0 and gap(4.0, 3.0) == pytest.approx(0.25) and gap(40.0, 30.0) == pytest.approx(0.25)
    assert gap(4.0, 1.0) == gap(4.0, -1.0) == WIDEST_GAP and gap(4.0) == WIDEST_GAP / 2 and gap(-1.0) == gap(-1.0, -2.0) == 0


def test_a_gap_or_a_cosine_of_its_own_does_not_make_an_answer():
    nothing = [Found("Bread is baked at four.", score=9.0, dense=0.4)]
    assert confidence_of(INDEX, "When was the harbour of Otaru built?", nothing) < 0.3


def test_each_language_is_calibrated_for_every_sign():
    for fitted in CALIBRATIONS.values():
        assert len(fitted.weights) == len(FEATURES)


def test_the_dearer_a_wrong_answer_the_surer_the_chat_must_be():
    limits = [CALIBRATIONS["en"].thresholds(cost) for cost in (0.0, 0.5, 1.0, 1e9)]
    assert limits[0] == Thresholds(0.0, 0.0) and limits[2].sure == pytest.approx(0.3)
    assert all(before.sure < after.sure <= 1 and before.least < after.least < after.sure for before, after in itertools.pairwise(limits))
