"""Nothing that a reader sees in a document is lost, and what cannot be read says why."""

import os

import pytest

from tasks.rag.documents import Unreadable, decode, parse_html, parse_markdown, parse_text, read_document
from tests.shared import SHARED, needs_shared


def paragraphs(parsed) -> list[str]:
    return [text for section in parsed.sections for text in section.paragraphs]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>one</p><p>two <b>bo</b>ld</p>", ["one", "two bold"]),
        ("<div>bare<p>para</p>tail</div>", ["bare", "para", "tail"]),
        ("<ul><li>outer<ul><li>inner</li></ul>after</li></ul>", ["outer", "inner", "after"]),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", ["a b", "c d"]),
        ("<dl><dt>term</dt><dd><p>meaning</p></dd></dl>", ["term", "meaning"]),
        ("<pre>if x:\n    y</pre>", ["if x:\n    y"]),
        ("<p>a<br>b</p>", ["a b"]),
        ("<p>これは\n改行です。 A\n B</p>", ["これは改行です。 A B"]),
        ("<p>a &lt; b &amp; c&nbsp;d</p><!-- not this -->", ["a < b & c d"]),
        ("<custom-tag>inside</custom-tag>", ["inside"]),
        ("no tags at all", ["no tags at all"]),
        (
            "<nav>menu</nav><script>x()</script><style>p{}</style><div class=navheader>Prev</div><div class=toc><p>1. One</p></div><p>text</p>",
            ["text"],
        ),
        ("<div>" * 5000 + "deep", ["deep"]),
        ("", []),
    ],
)
def test_html_text_in_reading_order(html, expected):
    assert paragraphs(parse_html(html)) == expected


def test_headings_are_a_path():
    parsed = parse_html("<h1>Book</h1><p>a</p><h2>One</h2><p>b</p><h3>Deep</h3><p>c</p><h2>Two</h2><p>d</p>")
    assert parsed.title == "Book"
    assert [(section.heading, section.paragraphs) for section in parsed.sections if section.paragraphs] == [
        ("Book", ["a"]),
        ("Book > One", ["b"]),
        ("Book > One > Deep", ["c"]),
        ("Book > Two", ["d"]),
    ]


def test_a_heading_over_nothing_is_kept_as_text():
    assert paragraphs(parse_html("<h1>Book</h1><h2>Is it free?</h2><h2>Yes</h2><p>a</p>")) == ["Is it free?", "a"]


def test_title_of_a_page_without_heading():
    assert parse_html("<title>Page</title><p>x</p>").title == "Page"


def test_markdown():
    parsed = parse_markdown(
        "---\nauthor: me\n---\n# 題名\n\n一行目\n二行目\n\n- a\n  - b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```\ncode  here\n```\n"
    )
    assert parsed.title == "題名" and paragraphs(parsed) == ["一行目二行目", "a", "b", "x y", "1 2", "code  here"]


def test_text_paragraphs():
    assert paragraphs(parse_text("one\nline\n\n \n二\n行\n")) == ["one line", "二行"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "shift_jis", "euc_jp", "iso2022_jp", "utf-16"])
def test_japanese_in_the_encodings_people_have(encoding):
    text = "量子化はモデルの重みを小さな整数で表す方法です。メモリが減り、速くなることもあります。精度は少し下がります。\n" * 3
    assert decode(text.encode(encoding)) == text


def test_latin_letters():
    text = "Le café est fermé à midi, où êtes-vous donc passés ? L'été dernier, la forêt était déserte.\n" * 3
    assert decode(text.encode("latin-1")) == text


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.md", b"", "empty"),
        ("a.md", b" \n\t", "empty"),
        ("a.md", os.urandom(3000), "binary"),
        ("a.md", b"%PDF-1.7\n" + bytes(range(256)) * 20, "binary"),
        ("a.md", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("a.html", b"<html><body><script>x</script></body></html>", "no text"),
        ("a.xlsx", b"PK", "not read"),
        ("noname", b"x", "without suffix"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Unreadable, match=says):
        read_document(tmp_path / name)


def test_a_file_without_title_is_called_by_its_name(tmp_path):
    (tmp_path / "notes.txt").write_text("text", encoding="utf-8")
    assert read_document(tmp_path / "notes.txt").title == "notes"


@needs_shared
@pytest.mark.parametrize("name", ["docs/debian-faq/en/basic-defs.en.html", "docs/debian-faq/ja/choosing.ja.html"])
def test_every_paragraph_of_a_real_page_is_there(name):
    from selectolax.lexbor import LexborHTMLParser

    path = SHARED / name
    found = "".join("".join(f"{section.heading}{''.join(section.paragraphs)}".split()) for section in read_document(path).sections)
    blocks = ["".join(node.text().split()) for node in LexborHTMLParser(path.read_text(encoding="utf-8")).css("div.section p")]
    assert len(blocks) > 20 and all(block in found for block in blocks)
