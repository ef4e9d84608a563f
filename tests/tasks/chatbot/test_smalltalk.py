"""Greetings are told from questions, and in no time whatever is sent."""

import time

import pytest

from tasks.chatbot.smalltalk import is_small_talk


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("  Hi there!\n", True),
        ("Great, that did the trick, thank you!", True),
        ("What exactly are you, a program?", True),
        ("goodbye", True),
        ("こんにちは。", True),
        ("なるほど、ありがとうございます！", True),
        ("こんばんは、ちょっといいですか", True),
        ("hi, what is LoRA?", False),
        ("ok, and BM25?", False),
        ("Is that good?", False),
        ("こんにちは、LoRAとは?", False),
        ("その名前は?", False),
        ("", False),
    ],
)
def test_greetings_are_small_talk(text, small):
    assert is_small_talk(text) == small


@pytest.mark.parametrize(
    "text",
    [
        "ok thanks " * 19 + "x",
        "はいどうも" * 39 + "x",
        "\n" * 100_000,
        "hi" + "\n" * 100_000 + "x",
        "こんにちは" + "。" * 100_000 + "x",
        "hi" + "!?" * 50_000 + "x",
    ],
)
def test_a_long_text_is_none_at_once(text):
    begun = time.monotonic()
    assert not is_small_talk(text) and time.monotonic() - begun < 1
