"""BM25 gives the scores of the formula, and terms are those of both languages."""

import math
from collections import Counter

import numpy as np
import pytest

from tasks.rag.bm25 import BM25, Question, TermCounts
from tasks.rag.postings import ChunkTerms, build_postings
from tasks.text.sentences import sentences
from tasks.text.terms import terms, weight

TEXTS = ["The cat sat on the mat.", "The dog sat.", "猫は庭で寝る。", "LoRAは学習を速くする", ""]


def by_the_formula(query: str, k1: float, b: float) -> list[float]:
    """Robertson and Zaragoza (2009), equation 3.15, with the idf of Lucene, written out."""
    documents = [Counter(terms(text)) for text in TEXTS]
    mean = sum(sum(document.values()) for document in documents) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for term in terms(query):
            df = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
            tf, length = document[term], sum(document.values())
            score += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean)) if tf else 0
        scores.append(score)
    return scores


@pytest.mark.parametrize("query", ["cat", "the the cat", "猫の庭", "LoRAの学習", "nothing here"])
@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.5, 0.75), (0.0, 0.0)])
def test_scores_are_the_formulas(query, k1, b):
    np.testing.assert_allclose(BM25.build(TEXTS, k1, b).scores(query, weighted=False), by_the_formula(query, k1, b), rtol=1e-5)


def test_opened_again_it_scores_the_same(tmp_path):
    built = BM25.build(TEXTS, 0.9, 0.4)
    built.save(tmp_path)
    for query in ("the cat", "猫"):
        np.testing.assert_array_equal(BM25.open(tmp_path).scores(query), built.scores(query))


def test_no_texts_and_no_terms():
    assert BM25.build([], 0.9, 0.4).scores("x").shape == (0,)
    assert not BM25.build(["", "?"], 0.9, 0.4).scores("x").any()


def test_coverage_is_the_share_of_the_rarity_that_a_text_holds():
    built = BM25.build(TEXTS, 0.9, 0.4)
    cat, sat = built.rarity("cat"), built.rarity("sat")
    np.testing.assert_allclose(built.coverage("cat sat unheard"), [1, sat / (cat + sat), 0, 0, 0], rtol=1e-5)
    assert not built.coverage("unheard").any()


def test_what_a_term_of_a_question_counts_for():
    """Hiragana is mostly grammar and counts half; a rare term counts more than the plain formula gives it."""
    built = BM25.build(["庭", "は", "庭は"], 0.9, 0.4)
    plain, weighted = built.scores("庭", weighted=False), built.scores("庭")
    np.testing.assert_allclose(weighted, plain * built.rarity("庭") ** 0.2, rtol=1e-5)
    np.testing.assert_allclose(built.scores("は"), weighted[[1, 0, 2]] / 2, rtol=1e-5)


@pytest.mark.parametrize("query", ["the cat sat", "猫の庭", "学習を速く"])
def test_a_part_is_scored_as_if_there_were_nothing_else(query):
    mask = np.array([True, False, True, True, False])
    whole, alone = BM25.build(TEXTS, 0.9, 0.4), BM25.build([text for text, inside in zip(TEXTS, mask, strict=True) if inside], 0.9, 0.4)
    scope = whole.scope(mask)
    np.testing.assert_allclose(whole.scores(query, scope=scope)[mask], alone.scores(query), rtol=1e-6)
    np.testing.assert_allclose(whole.coverage(query, scope)[mask], alone.coverage(query), rtol=1e-6)
    assert not whole.scores(query, scope=scope)[~mask].any()


def test_postings_from_counted_parts_are_those_of_the_texts():
    """No term reaches from one sentence, or from the heading, into the next."""
    chunks = [
        ("a.md", "Cats > 猫", "The cat sat. It slept! 「行く。すぐ行く。」と言った。次の文。"),
        ("a.md", "", "第16回の学習です。Good (very good) news.\nNext line: 犬は港へ走る"),
        ("b.md", "Heading", ""),
    ]
    made = build_postings([document for document, _, _ in chunks], ChunkTerms.of([chunk[1:] for chunk in chunks]), 0.5, 0.3)
    direct = {
        "bm25": [f"{heading}\n{text}" for _, heading, text in chunks],
        "sentences": [part for _, _, text in chunks for part in sentences(text) or [""]],
        "documents": ["\n".join(text for name, _, text in chunks if name == document) for document in ("a.md", "b.md")],
    }
    for level, texts in direct.items():
        wanted = BM25.build(texts, 0.5, 0.5 if level == "sentences" else 0.3)
        np.testing.assert_array_equal(made[level].lengths, wanted.lengths)
        for query in ("cat sat next", "学習の16回", "犬と猫", "heading"):
            np.testing.assert_allclose(made[level].scores(query), wanted.scores(query), rtol=1e-6)


def test_counts_of_parts_join():
    joined = TermCounts.joined([TermCounts.of(TEXTS[:2]), TermCounts.of([]), TermCounts.of(TEXTS[2:])])
    whole = TermCounts.of(TEXTS)
    for name in ("sizes", "terms", "counts"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


@pytest.mark.parametrize("query", ["cat", "the cat sat", "猫の庭は", "LoRAの学習", "cat unheard", "the the mat"])
def test_the_ideal_is_by_hand_what_each_term_is_worth(query):
    """Each term once in a text of mean length: its frequency counts for 1 there, whatever k1 and b are."""
    once = dict.fromkeys(terms(query))
    for k1, b in ((0.9, 0.4), (0.5, 0.0)):
        built = BM25.build(TEXTS, k1, b)
        by_hand = sum(terms(query).count(term) * weight(term) * built.rarity(term) ** 1.2 for term in once)
        assert built.ideal(Question.of(query)) == pytest.approx(by_hand, rel=1e-5)


def test_a_text_that_is_the_ideal_scores_it():
    texts = ["falcon harbour violin", "stone copper lamp", "garden lamp stone"]  # all of one length
    built = BM25.build(texts, 0.9, 0.4)
    for query in ("falcon harbour", "falcon harbour violin", "lamp stone"):
        assert built.ideal(Question.of(query)) == pytest.approx(float(built.scores(query).max()), rel=1e-5)


def test_terms_that_no_text_has_are_as_rare_as_can_be():
    built = BM25.build(TEXTS, 0.9, 0.4)
    unknown = math.log1p((len(TEXTS) + 0.5) / 0.5) ** 1.2
    assert built.ideal(Question.of("unheard")) == pytest.approx(unknown, rel=1e-5) and unknown > built.ideal(Question.of("cat"))
    assert built.ideal(Question.of("cat unheard")) == pytest.approx(unknown + built.ideal(Question.of("cat")), rel=1e-5)
    assert built.ideal(Question.of("?")) == 0.0 and BM25.build([], 0.9, 0.4).ideal(Question.of("cat")) > 0


@pytest.mark.parametrize("query", ["the cat sat", "猫の庭", "dog unheard", "学習を速く"])
def test_the_ideal_of_a_part_is_that_of_an_index_of_nothing_else(query):
    mask = np.array([True, False, True, True, False])
    whole, alone = BM25.build(TEXTS, 0.9, 0.4), BM25.build([text for text, inside in zip(TEXTS, mask, strict=True) if inside], 0.9, 0.4)
    asked = Question.of(query)
    assert whole.ideal(asked, whole.scope(mask)) == pytest.approx(alone.ideal(asked), rel=1e-6)
    assert whole.ideal(asked) == pytest.approx(whole.ideal(asked, whole.scope(np.ones(len(TEXTS), bool))), rel=1e-6)
