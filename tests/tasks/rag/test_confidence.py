"""Confidence: what the found chunks say about a question, as signs and as a probability."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tasks.rag.bm25 import BM25
from tasks.rag.confidence import BUNDLED, FEATURES, LOOKED_AT, READ, USUAL_CONTRAST, WIDEST_GAP, Around, confidence, confidence_of, features


@dataclass
class Found:
    text: str
    heading: str = ""
    score: float = 3.0
    sentence: float = 0.85


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


@dataclass
class Index:
    """Rarity as an index of these texts has it; how the question lies to all of them is planted."""

    to_all: Around = field(default_factory=lambda: Around(0.78, 0.82, 0.3))
    words: BM25 = field(
        default_factory=lambda: BM25.build(
            [text for _, *texts in CASES for text in texts] + ["Bread is baked at four.", "米は秋に刈り取る。"] * 10, 0.5, 0.3
        )
    )

    def rarity(self, term: str) -> float:
        return self.words.rarity(term)

    def around(self, query: str) -> Around:
        return self.to_all


INDEX = Index()


def signs(question, hits, index=INDEX):
    return dict(zip(FEATURES, features(question, index, hits), strict=True))


@pytest.mark.parametrize(("question", "answers", "beside"), CASES)
def test_the_paragraph_that_answers_is_told_from_one_of_the_same_article(question, answers, beside):
    present = confidence_of(INDEX, question, [Found(answers, sentence=0.92), Found(beside, score=1.0)])
    removed = confidence_of(INDEX, question, [Found(beside), Found("Bread is baked at four.", score=1.0, sentence=0.8)])
    assert 0 < removed < present < 1


def test_nothing_found_answers_nothing():
    assert confidence_of(INDEX, "Anything?", []) == 0.0


def test_every_sign_is_a_finite_number_whatever_is_asked():
    for question in ("", "?", "the", "何", "x" * 500, "🙂", "What is it? それは何?"):
        values = features(question, INDEX, [Found("")])
        assert values.shape == (len(FEATURES),) and np.isfinite(values).all()
        assert 0 <= confidence(values, BUNDLED["ja"]) <= 1


def test_a_sentence_that_holds_the_whole_question_covers_it():
    question, answers, beside = CASES[1]
    covered, other = signs(question, [Found(answers)]), signs(question, [Found(beside)])
    assert covered["sentence_cover"] == covered["chunk_cover"] == pytest.approx(1) and other["sentence_cover"] < 0.7


def test_the_heading_counts_for_each_sentence():
    bare, headed = (signs("northern lighthouse keeper", [Found("The keeper sings.", heading)]) for heading in ("", "Northern lighthouse"))
    assert headed["sentence_cover"] > bare["sentence_cover"]


def test_the_gap_is_a_share_of_the_first_score():
    def gap(*scores):
        return signs("keeper", [Found("The keeper sings.", score=score) for score in scores])["score_gap"]

    assert gap(4.0, 4.0) == 0 and gap(4.0, 3.0) == pytest.approx(0.25) and gap(40.0, 30.0) == pytest.approx(0.25)
    assert gap(4.0, 1.0) == gap(4.0, -1.0) == WIDEST_GAP and gap(4.0) == WIDEST_GAP / 2 and gap(-1.0) == gap(-1.0, -2.0) == 0


def test_the_best_sentence_is_held_against_those_of_the_hits_behind():
    def contrast(*cosines):
        return signs("keeper", [Found("The keeper sings.", sentence=cosine) for cosine in cosines])["contrast"]

    assert contrast(0.8, 0.9, 0.85, 0.75) == pytest.approx(0.1 / 0.22)
    assert contrast(0.8, 0.9, *[0.85] * (LOOKED_AT - READ), 0.0) == pytest.approx(0.05 / 0.22)  # what stands further behind does not count
    assert contrast(0.9) == contrast(0.9, 0.8) == USUAL_CONTRAST  # nothing stands behind in an index of two chunks


def test_how_a_question_lies_to_the_whole_index_is_asked_of_the_index():
    found = signs("keeper", [Found("The keeper sings.")], Index(Around(0.6, 0.7, 0.3)))
    assert found["subject"] == pytest.approx(0.25) and found["companion"] == 0.3


def test_a_gap_of_its_own_does_not_make_an_answer():
    nothing = [Found("Bread is baked at four.", score=9.0, sentence=0.78)]
    asked = "When was the harbour of Otaru built?"
    assert confidence_of(Index(Around(0.78, 0.77, 0.1)), asked, nothing) < BUNDLED["en"].least


def test_each_language_is_calibrated_for_every_sign():
    for fitted in BUNDLED.values():
        assert len(fitted.weights) == len(FEATURES) and 0 < fitted.least < fitted.sure < 1


def test_the_odds_that_are_asked_for_grow_with_the_cost_of_a_wrong_answer():
    fitted = BUNDLED["en"]
    assert fitted.thresholds(1.0) == pytest.approx((fitted.least, fitted.sure))
    assert fitted.thresholds(0.0) == (0.0, 0.0)
    least, sure = fitted.thresholds(3.0)
    assert sure / (1 - sure) == pytest.approx(3 * fitted.sure / (1 - fitted.sure)) and fitted.least < least < sure < 1
