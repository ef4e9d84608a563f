"""Terms of texts in both languages."""

import pytest

from tasks.text.terms import terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The GPU-2 runs", ["the", "gpu", "2", "run"]),
        ("ＬｏＲＡ", ["lora"]),
        ("学習率", ["学", "習", "学習", "率", "習率", "|学習率|"]),
        ("LoRAとは", ["lora", "と", "loraと", "は", "とは"]),
        ("ｶﾀﾛｸﾞ", ["カ", "タ", "ロ", "グ", "カタ", "タロ", "ログ", "|カタログ|"]),
        ("第16回", ["第", "16", "第16", "回", "16回"]),
        ("人々", ["人", "々", "人々", "|人々|"]),
        ("snake_case café", ["snake", "case", "café"]),
        ("?!、。", []),
    ],
)
def test_terms(text, expected):
    assert sorted(terms(text)) == sorted(expected)
