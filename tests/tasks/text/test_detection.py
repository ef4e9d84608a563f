"""The language of a text is told by its letters."""

import pytest

from tasks.text.detection import detect


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("What is LoRA?", "en"),
        ("LoRAとは何ですか", "ja"),
        ("漢字", "ja"),
        ("", "en"),
        ("AutoModelForCausalLM.from_pretrainedの引数", "ja"),
        ("ｶﾀｶﾅ", "ja"),
        ("The word 猫 means cat, and this page is about how English dictionaries write such foreign words down.", "en"),
    ],
)
def test_language(text, lang):
    assert detect(text) == lang
