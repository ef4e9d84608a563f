"""What is shown of strangers' text orders neither terminal nor page about, and stays as it is otherwise."""

import json

import pytest

from tasks.evaluation.report import table
from tasks.progress import terminal
from tasks.shown import shown, shown_json


@pytest.mark.parametrize(
    "text",
    [
        "磨き\tが\n「ぎ」 ｶﾞ が",
        "👩‍👩‍👧‍👦 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 é नमस्ते क्‍ष",
        "葛\U000e0100 العربية עברית",
        "[red]not markup[/red] :smile: <b>",
    ],
)
def test_what_writing_needs_stays(text):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\x1b[31mb\x1b[2J\x1b[1;1Hc", "abc"),
        ("a\x1b]0;title\x07b\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "ablink"),
        ("a\x1b]52;c;aGVsbG8=\x07磨", "a磨"),
        ("a\x1b]never ended", "a]never ended"),
        ("a\x9b31mb\x9dtitle\x9cc", "a31mbc"),
        ("a\x1bP1$r\x1b\\b", "ab"),
        ("safe\rforged\r\nnext", "safeforged\nnext"),
        ("a\x00\x07\x08\x0b\x0c\x7f\x85b", "ab"),
        ("請求\u202egpj.exe\u202c \u2066x\u2069 \u200e\u200f\u061c", "請求gpj.exe x "),
        ("a\u2028b\u2029c\ufff9", "abc"),
        ("half \ud83d", "half "),
    ],
)
def test_what_would_be_obeyed_does_not(text, left):
    assert shown(text) == left
    assert json.loads(shown_json({"text": text})) == {"text": text}
    assert shown(shown_json(text)) == shown_json(text)
    shown_json(text).encode()


def test_progress_and_the_report_show_it_so(capsys):
    import sys

    terminal(sys.stdout)("file \x1b[2Jnäme\u202e", True)
    assert capsys.readouterr().out == "file näme\n"
    assert "<td>&lt;b&gt;磨き</td>" in table(["\x1bx"], [["<b>\u202e磨\x1b[1mき"]])
