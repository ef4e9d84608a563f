"""Texts as they are compared, and runs of characters and words."""

from tasks.text.ngrams import folded, ngrams, plain


def test_width_and_case_are_folded():
    assert folded("ＬｏＲＡ ｶﾀ") == "lora カタ"


def test_plain_text_is_letters_and_digits_with_spaces_between():
    assert plain("  “Re-start_it”, 3.5 times！ ") == "re start it 3 5 times" and plain("?!") == ""


def test_ngrams_of_characters_and_of_words():
    assert ngrams("abcd", 2) == ["ab", "bc", "cd"] and ngrams("a", 2) == []
    assert ngrams(["a", "b", "c"], 2) == [["a", "b"], ["b", "c"]]
