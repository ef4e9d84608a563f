"""Figures about texts: variety, refusals."""

import pytest

from tasks.text.measures import chrf, distinct_n, is_refusal, repetition


def test_distinct_counts_words_and_characters():
    assert distinct_n(["a b a b"], ["en"]) == pytest.approx(2 / 3)  # ab ba ab
    assert distinct_n(["ああああ"], ["ja"]) == pytest.approx(1 / 3)
    assert distinct_n(["", "x"], ["en", "en"]) == 0


def test_repetition_is_the_share_of_runs_that_occurred_before():
    assert repetition("a b c d a b c d", "en") == pytest.approx(1 / 5)  # abcd bcda cdab dabc abcd
    assert repetition("ああああああ", "ja") == pytest.approx(2 / 3)
    assert repetition("a b c", "en") == repetition("", "ja") == 0


@pytest.mark.parametrize(
    ("text", "reference", "score"),  # sacreBLEU 2.6.0, sentence_chrf / 100
    [
        ("The cat sat on the mat", "A cat sat on a mat.", 0.5153571228880836),
        ("量子化は重みを小さくする。", "量子化とは重みを小さな型にすること。", 0.33185884413446404),
        ("ab", "abcdef", 0.3125),
        ("今日は", "今日は晴れです", 0.3710506980161646),
        ("x", "y", 0),
        ("same text", "same  text", 1),
        ("", "text", 0),
    ],
)
def test_chrf_is_sacrebleus(text, reference, score):
    assert chrf(text, reference) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("I cannot help with that.", True),
        ("I'm sorry, but no.", True),
        ("申し訳ありませんが、お答えできません。", True),
        ("You can do it.", False),
        ("メモリを減らせます。", False),
    ],
)
def test_refusals_are_told(text, refusal):
    assert is_refusal(text) is refusal
