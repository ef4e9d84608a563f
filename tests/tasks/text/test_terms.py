"""Terms of texts in both languages."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.text.language import languages
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


def test_threads_stem_beside_each_other():
    """The stemmer keeps the word that it is at in itself: without a lock, two questions at once get each other's stems, which are remembered."""
    words = [stem + ending for stem in ("generaliz", "nationaliz", "relat", "operat") for ending in ("ations", "ing", "ed", "al")] * 20
    stem = languages()["en"].stem
    wanted, interval = [stem(word) for word in words], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: [stem(word) for word in words], range(4))) == [wanted] * 4
    finally:
        sys.setswitchinterval(interval)
