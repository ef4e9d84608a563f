"""Text on Prefect's page is shown as it is. How the page itself shows it, in a browser: tests/e2e/test_platform.py."""

import re

import pytest

from flows.running.pages import plain, table

HOSTILE = [
    "![x](http://evil.example/a.png)",
    "![x][1]\n\n[1]: http://evil.example/a.png",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</td></tr></table><iframe src=//evil.example>",
    "[a](javascript:alert(1))",
    "<http://evil.example>",
    "http://evil.example/x https://evil.example www.evil.example a@evil.example HTTP://EVIL.EXAMPLE",
    "&lt;img src=x&gt; &#60;img&#62; &amp;",
    "`code` ``` fence",
    "a | b || c",
    "line\nbreak\r\n# heading\n- item\n\n    code\n---\n| a |\n| --- |",
    "**bold** __bold__ *i* ~~gone~~ $x$ [^1] - [ ] task",
    "back\\slash \\| \\<",
    "\x1b[31mred\x1b[0m \u202egnihtyna\u2066",
    "日本語の文。「引用」**太字**|セル|<img src=x>",
]


def unescaped(markdown: str) -> str:
    """What CommonMark makes of text in which every ASCII punctuation character has its backslash."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_it_is_markup(text):
    shown = plain(text)
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"\\[!-/:-@\[-`{-~]", "", shown))  # no punctuation without its backslash
    assert "\n" not in shown and "\x1b" not in shown and "\u202e" not in shown
    assert not re.search(r"(?i)https?\\?:|www\\?\.|@\w", shown)  # nor an address that the page would link


@pytest.mark.parametrize("text", ["日本語の文。", "Keep: 0.812 > 0.744 (95% of 40).", "C:\\new | 50 %", "# 1"])
def test_what_is_read_is_what_was_written(text):
    assert unescaped(plain(text)) == text


def test_a_cell_stays_a_cell():
    lines = table(["kind", "rows"], [["a | b\n| c |", 3], ["![x](y)", 4]]).splitlines()
    assert len(lines) == 4 and all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines)
