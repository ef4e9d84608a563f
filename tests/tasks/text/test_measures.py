"""Figures about texts: variety, refusals."""

import pytest

from tasks.text.measures import distinct_n, is_refusal


def test_distinct_counts_words_and_characters():
    assert distinct_n(["a b a b"], ["en"]) == pytest.approx(2 / 3)  # ab ba ab
    assert distinct_n(["ああああ"], ["ja"]) == pytest.approx(1 / 3)
    assert distinct_n(["", "x"], ["en", "en"]) == 0


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
