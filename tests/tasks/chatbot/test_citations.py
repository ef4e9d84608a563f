"""Support of sentences by sources, and questions that point back."""

import pytest

from tasks.chatbot.citations import cite, support
from tasks.chatbot.events import Source


def source(number, text):
    return Source(number, f"c{number}", "d.md", "t", "h", text, "en", 1.0)


@pytest.mark.parametrize(
    ("sentence", "evidence", "supported"),
    [
        ("The tower is 90 metres high.", "In 1901 the tower, which is 90 metres high, was painted.", True),
        ("The tower is 95 metres high.", "In 1901 the tower, which is 90 metres high, was painted.", False),
        ("The moon is made of cheese.", "In 1901 the tower, which is 90 metres high, was painted.", False),
        ("温度を上げると出力が多様になります。", "温度を上げると、出力が多様になります。下げると安定します。", True),
        ("第16回大会は東京で開かれた。", "第16回大会は、東京で開かれた。", True),
        ("第17回大会は東京で開かれた。", "第16回大会は、東京で開かれた。", False),
        ("量子化は重みを圧縮します。", "温度を上げると、出力が多様になります。", False),
    ],
)
def test_a_sentence_is_supported_by_the_words_and_the_numbers_of_a_chunk(sentence, evidence, supported):
    assert (support(sentence, evidence) >= 0.6) == supported


def test_the_best_source_comes_first_and_the_models_own_marks_prove_nothing():
    sources = [source(1, "Cats sleep a lot during the day, some say."), source(2, "Cats sleep a lot.")]
    first, second = cite("Cats sleep a lot [1]. Dogs write novels at night [2].", sources, 0.6)
    assert (
        first.text == "Cats sleep a lot." and first.supported and set(first.cites) == {1, 2} and not second.supported and second.cites == ()
    )


def test_no_sentences_no_citations():
    assert cite("", [source(1, "x")], 0.6) == [] and support("", "x") == 0.0 and support("。!?", "x") == 0.0
