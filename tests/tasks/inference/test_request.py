"""Tokens become text in whole characters, as they come."""

from tasks.inference.request import Detokenizer
from tests.helpers.models import tiny_tokenizer


def test_japanese_comes_in_whole_characters():
    tokenizer = tiny_tokenizer()  # a token is a byte
    text = "磨き粉 and 猫🐈。"
    detokenizer = Detokenizer(tokenizer)
    said = [detokenizer.add(token) for token in tokenizer(text)["input_ids"]]
    assert "".join(said) + detokenizer.flush() == text and all("\ufffd" not in piece for piece in said)
    assert [piece for piece in said if piece][:3] == ["磨", "き", "粉"]


def test_half_a_character_at_the_end_is_left_out_and_broken_bytes_do_not_hold_the_rest_back():
    tokenizer = tiny_tokenizer()
    cut = Detokenizer(tokenizer)
    said = [cut.add(token) for token in tokenizer("猫")["input_ids"][:2]]
    assert said == ["", ""] and cut.flush() == ""
    lead = tokenizer("猫")["input_ids"][0]
    broken = Detokenizer(tokenizer)
    said = [broken.add(lead) for _ in range(30)]
    assert any(said)
    assert broken.add(tokenizer("a")["input_ids"][0]).endswith("a")
