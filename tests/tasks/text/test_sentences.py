"""Where sentences end, inside brackets and outside."""

import time

import pytest

from tasks.text.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? (Four.) Five", ["One.", "Two!", "Three?", "(Four.)", "Five"]),
        ("Version 3.5 is out. It works.", ["Version 3.5 is out.", "It works."]),
        ("猫がいる。犬もいる！鳥は？", ["猫がいる。", "犬もいる！", "鳥は？"]),
        ("彼は「行く。すぐ行く。」と言った。そして行った。", ["彼は「行く。すぐ行く。」と言った。", "そして行った。"]),
        ("彼（名前は不明。たぶん。）は来た。帰った。", ["彼（名前は不明。たぶん。）は来た。", "帰った。"]),
        ("閉じない「かっこ。" + "あ" * 400 + "。次の文。最後の文。", ["閉じない「かっこ。" + "あ" * 400 + "。", "次の文。", "最後の文。"]),
        ("「行く。」「待て。」彼は言った。", ["「行く。」", "「待て。」彼は言った。"]),
        ("彼は「『嘘。』と母が。」と答えた。終わり。", ["彼は「『嘘。』と母が。」と答えた。", "終わり。"]),
        ("閉じる」だけ。次。", ["閉じる」だけ。", "次。"]),
        ("本当？！はい!!次。", ["本当？！", "はい!!", "次。"]),
        ("半角｡次｡", ["半角｡", "次｡"]),
        ("円周率は３．１４だ．次の文．", ["円周率は３．１４だ．", "次の文．"]),
        ("https://example.com/?q=1 を見る。次。", ["https://example.com/?q=1 を見る。", "次。"]),
        (
            "これはPython 3.11です。It works. Version 3.5 too. 次の文。",
            ["これはPython 3.11です。", "It works.", "Version 3.5 too.", "次の文。"],
        ),
        ("以下の通り：\n・一つ目\n・「二つ目\n1. 三つ目", ["以下の通り：", "・一つ目", "・「二つ目", "1. 三つ目"]),
        ("Steps:\n- one\n- two\nand more", ["Steps:", "- one", "- two\nand more"]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@pytest.mark.alone
@pytest.mark.parametrize(
    "text", ["「あ。」" * 100_000, "「" * 200_000 + "」" * 200_000 + "。", "あ。」" * 100_000, "\n・" * 100_000 + "あ", "あ!?" * 100_000]
)
def test_time_grows_with_the_text_and_not_with_its_square(text):
    started = time.process_time()
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    assert time.process_time() - started < 5
