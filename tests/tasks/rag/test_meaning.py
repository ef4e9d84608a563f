"""Two embedders on one scale: the companion is asked for its language alone, and a part of an index is scored as if there were nothing else."""

import numpy as np
import pytest

from tasks.rag.meaning import BEST_SENTENCE, COMPANION, standardized
from tasks.rag.retrieval import Retriever
from tasks.rag.sentence_vectors import HEADING
from tests.helpers.indexes import Characters, chunk, opened

WORDS = "falcon harbour lantern copper violin garden stone river amber thistle".split()
SIGNS = "猫 犬 石 琴 銅 庭 港 灯 川 冬".split()


def mixed(count: int, seed: int = 0) -> list[dict]:
    """Chunks in both languages, for everybody and for some."""
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        some = generator.integers(0, len(WORDS), 5)
        english = f"The {WORDS[some[0]]} and the {WORDS[some[1]]}. A {WORDS[some[2]]} number {i}."
        japanese = f"{SIGNS[some[0]]}と{SIGNS[some[1]]}がある。{SIGNS[some[2]]}は{i}番。"
        document = i // 2  # whose chunks are all in one part, as its score is that of the whole document
        text, heading = (english, f"About {WORDS[some[3]]}") if document % 3 else (japanese, "")
        more = {"allowed": ((), ("sales",))[document % 2], "meta": {"team": f"t{document % 5}"}}
        rows.append(chunk(text, f"d{document}", heading, chunk_id=f"c{i}", **more))
    return rows


def pair(folder, rows, **settings) -> Retriever:
    """An index with a companion for English, which is of another size and sees other likenesses."""
    return opened(folder, rows, Characters("own"), {"en": Characters("second", 16)}, **settings)


QUERIES = ["the falcon of the harbour", "copper violin", "猫の石はどこですか", "庭の港"]


def test_the_companion_is_asked_for_its_language_alone(tmp_path):
    rows = mixed(30)
    retriever = pair(tmp_path, rows)
    own, second = retriever.meaning.embedders
    assert second.passages == [row["indexed"] for row in rows if row["lang"] == "en"]  # chunks of its language, whole
    assert own.passages == [part for row in rows for part in _sentences(row)] + list(dict.fromkeys(row["heading"] for row in rows))
    retriever.search_all(QUERIES, 3)
    assert own.questions == QUERIES and second.questions == QUERIES[:2]
    second.questions.clear()
    assert retriever.search("猫", 3) and second.questions == []


def _sentences(row: dict) -> list[str]:
    return [row["text"][start:end] for start, end in zip(row["places"][::2], row["places"][1::2], strict=True)]


@pytest.mark.parametrize("query", QUERIES)
def test_scores_of_both_embedders_are_on_one_scale(tmp_path, query):
    """Half the deviations of each for chunks that both read, of the one for those that it alone reads."""
    rows = mixed(40)
    meaning = (retriever := pair(tmp_path, rows)).meaning
    part, numbers = retriever.everything, np.arange(40)
    asked = meaning.ask([query])[0]
    meant = meaning.score(asked, numbers, part)
    own = meaning.dense.vectors(numbers) @ meaning.embedder.embed_queries([query])[0]
    expected, beside = standardized(own), np.full(40, np.nan)
    english = np.array([row["lang"] == "en" for row in rows])
    if query.isascii():
        second = meaning.companions["en"].dense.vectors(np.arange(english.sum())) @ meaning.embedders[1].embed_queries([query])[0]
        expected[english] = (1 - COMPANION) * expected[english] + COMPANION * standardized(second)
        beside[english] = second
    np.testing.assert_allclose(meant.score, expected, atol=1e-4)
    np.testing.assert_allclose(meant.cosine, own, atol=1e-5)
    np.testing.assert_allclose(meant.companion, beside, atol=1e-5)
    scaled = np.full(40, 1 / own.std())
    scaled[english] *= (1 - COMPANION) if query.isascii() else 1
    np.testing.assert_allclose(meant.per_cosine, scaled, rtol=1e-3)


def test_the_scale_of_either_embedder_does_not_matter(tmp_path):
    """A companion whose cosines are all above 0.5 says as much as one whose are not."""

    class Narrow(Characters):
        """All texts much alike."""

        def _vectors(self, texts):
            rows = super()._vectors(texts)
            return np.concatenate([0.7 * rows, np.full((len(texts), 1), np.sqrt(1 - 0.49))], axis=1).astype(np.float32)

    rows = mixed(40)
    wide, narrow = (opened(tmp_path / kind.__name__, rows, Characters("own"), {"en": kind("second", 16)}) for kind in (Characters, Narrow))
    for query in QUERIES[:2]:
        one, two = wide.search(query, 4), narrow.search(query, 4)
        assert [hit.chunk_id for hit in one] == [hit.chunk_id for hit in two]
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in two], atol=0.15)  # int8 of a small difference
        assert all(near.dense > far.dense + 0.01 for far, near in zip(one, two, strict=True) if far.lang == "en")


def test_the_mixed_score_is_meaning_words_and_the_best_sentence(tmp_path):
    from tasks.rag.bm25 import Question
    from tasks.rag.retrieval import WORDS as WORTH
    from tasks.text.terms import subject

    rows, weight = mixed(40), 0.6
    retriever = pair(tmp_path, rows, dense_weight_en=weight)
    query, numbers = f"{QUERIES[0]} with 猫", np.arange(40)
    asked = retriever.meaning.ask([query])[0]
    meant = retriever.meaning.score(asked, numbers, retriever.everything)
    best = retriever.meaning.sentence_cosines(asked, numbers)
    share = retriever._sparse(Question.of(subject(query)), retriever.everything) / retriever.levels["bm25"].ideal(
        Question.of(subject(query))
    )
    expected = weight * (meant.score + BEST_SENTENCE * (best - meant.cosine) * meant.per_cosine) + (1 - weight) * WORTH * share
    hits = retriever.search(query, 40, {"sales"})
    at = [int(hit.chunk_id[1:]) for hit in hits]
    np.testing.assert_allclose([hit.score for hit in hits], expected[at], atol=1e-4)
    np.testing.assert_allclose([hit.sentence for hit in hits], best[at], atol=1e-5)
    english = np.array([rows[i]["lang"] == "en" for i in at])  # the companion's cosine is shown where there is one
    np.testing.assert_allclose([hit.dense for hit in hits], np.where(english, meant.companion[at], best[at]), atol=1e-5)
    assert english.any() and not english.all() and set(at) == {i for i in numbers if share[i] > 0 or meant.score[i] >= -1e-3}


@pytest.mark.parametrize("groups", [(), ("sales",)])
@pytest.mark.parametrize("where", [{}, {"lang": "en"}, {"lang": "ja"}, {"team": ["t1", "t2"]}, {"document": "d4"}])
@pytest.mark.parametrize("flat_up_to", [10**6, 25])
def test_a_part_is_scored_as_an_index_of_nothing_else(tmp_path, groups, where, flat_up_to):
    """Companions included; with inverted lists for the index and the companion (of 60 English chunks), for its part flat or not."""
    rows = mixed(90)
    seen = [row for row in rows if (not row["allowed"] or groups) and _fits(row, where)]
    assert len(seen) > 0 and ((groups and not where) or len(seen) < len(rows))
    whole = pair(tmp_path / "whole", rows, flat_up_to=flat_up_to)
    alone = pair(tmp_path / "alone", [row | {"allowed": ()} for row in seen])
    assert whole.meaning.flat == whole.meaning.companions["en"].dense.flat == (flat_up_to > 90)
    for query in QUERIES:
        found, wanted = whole.search(query, 9, groups, where), alone.search(query, 9)
        assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted] and wanted
        for name in ("score", "sparse", "dense", "sentence"):
            np.testing.assert_allclose([getattr(h, name) for h in found], [getattr(h, name) for h in wanted], atol=1e-4)
        assert whole.ranks(query, found, groups, where) == alone.ranks(query, wanted)


def _fits(row: dict, where: dict) -> bool:
    told = row | row["meta"]
    return all(told[name] == value or told[name] in value for name, value in where.items())


def test_a_flat_companion_beside_inverted_lists(tmp_path):
    """Where few chunks are English the companion scans them all, whatever the index does."""
    rows = mixed(90)
    for row in rows[10:]:
        row["lang"] = "ja"
    large, flat = pair(tmp_path / "large", rows, flat_up_to=50), pair(tmp_path / "flat", rows)
    assert not large.meaning.flat and large.meaning.companions["en"].dense.flat
    for where in ({}, {"team": ["t0", "t1", "t2"]}):
        for query in QUERIES[:2]:
            found, wanted = large.search(query, 9, where=where), flat.search(query, 9, where=where)
            assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
            np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in wanted], atol=1e-4)


def test_no_heading_is_no_part_of_a_chunks_vector(tmp_path):
    rows = [chunk("The falcon sleeps.", "a"), chunk("The falcon sleeps.", "b", "Stones")]
    retriever = opened(tmp_path, rows, embedder := Characters("own"))
    bare, headed = retriever.meaning.dense.vectors(np.arange(2))
    sentence, heading = embedder.embed(["The falcon sleeps.", "Stones"])
    np.testing.assert_allclose(bare, sentence, atol=0.01)
    both = sentence + HEADING * heading
    np.testing.assert_allclose(headed, both / np.linalg.norm(both), atol=0.01)


def test_questions_in_both_languages_at_once_are_each_by_itself(tmp_path):
    retriever = pair(tmp_path, mixed(40))
    asked = [QUERIES[2], "", *QUERIES, "?", QUERIES[0]]
    for found, query in zip(retriever.search_all(asked, 6), asked, strict=True):
        wanted = retriever.search(query, 6)
        assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in wanted], atol=1e-5)
    given = retriever.meaning.ask(QUERIES)
    retriever.meaning.embedder.embed_queries = None  # what was asked before is not embedded again
    assert [hits[0].chunk_id for hits in retriever.search_all(QUERIES, 6, asked=given)]


def test_a_companion_of_a_language_that_no_chunk_is_in(tmp_path):
    rows = [row for row in mixed(30) if row["lang"] == "ja"]
    retriever = pair(tmp_path, rows)
    assert retriever.facts["companions"] == {} and len(retriever.meaning.embedders) == 1 and not list(tmp_path.glob("dense.*.faiss"))
    assert retriever.search(QUERIES[0], 3) and retriever.search(QUERIES[2], 3)


def test_a_part_in_which_the_companion_has_nothing(tmp_path):
    retriever = pair(tmp_path, mixed(30))
    hits = retriever.search(QUERIES[0], 5, where={"lang": "ja"})
    assert hits and all(hit.lang == "ja" and np.isfinite(hit.score) for hit in hits)


def test_a_chunk_by_itself_has_a_score_like_others(tmp_path):
    """Its deviation is none, which must not make a mountain of what its best sentence is nearer than the whole."""
    retriever = pair(tmp_path, mixed(30))
    for query in QUERIES:
        hits = retriever.search(query, 5, where={"document": "d0"}) + retriever.search(query, 5, {"sales"}, {"document": "d0"})
        assert hits and all(abs(hit.score) < 60 for hit in hits)


@pytest.mark.parametrize("query", QUERIES)
def test_a_question_asked_now_is_the_same_as_one_among_others(tmp_path, query):
    meaning = pair(tmp_path, mixed(30)).meaning
    now, among = meaning.ask_now(query), dict(zip(QUERIES, meaning.ask(QUERIES), strict=True))[query]
    assert now.lang == among.lang
    np.testing.assert_array_equal(now.vector, among.vector)
    assert (now.companion is None) == (among.companion is None) == (not query.isascii())
    if now.companion is not None:
        np.testing.assert_array_equal(now.companion, among.companion)


def test_a_companion_that_fails_is_not_passed_over(tmp_path, monkeypatch):
    retriever = pair(tmp_path, mixed(30))
    monkeypatch.setattr(retriever.meaning.embedders[1], "embed_queries", lambda texts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        retriever.search(QUERIES[0])
