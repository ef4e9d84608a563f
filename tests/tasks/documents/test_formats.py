"""Nothing that a reader sees in a document is lost, and what cannot be read says why."""

import json
import random
import zipfile
from io import BytesIO

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from tasks.documents.access import EVERYONE, groups_of
from tasks.documents.finding import find_documents, keep_rules, kept_documents
from tasks.documents.formats import Unreadable, decode, known_encoding, parse_html, parse_markdown, parse_text, read_document, read_file
from tasks.documents.rows import Columns, row_documents
from tasks.errors import MigakiError
from tests.helpers.documents import one_page, pdf, word
from tests.helpers.shared import SHARED, needs_shared


def paragraphs(parsed) -> list[str]:
    return [text for section in parsed.sections for text in section.paragraphs]


def outline(parsed) -> list[tuple]:
    return [(section.heading, section.paragraphs) for section in parsed.sections if section.paragraphs]


def stored(tmp_path, name: str, data: bytes | str):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def documents(path, columns: str = "", label: str | None = None, encoding: str | None = None) -> dict:
    """Name to document, or to the reason."""
    found = read_file(path.name, path, columns, () if label is None else (label,), encoding)
    return {name: str(document) if isinstance(document, Unreadable) else document for name, document in found}


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


def test_each_item_of_a_list_in_plain_text_is_a_paragraph():
    text = "以下の通り：\n・一つ目の\n　続き\n・二つ目\n\n1. one\n2) two\n(3) three\n- four\n3.5 is no item\n"
    assert paragraphs(parse_text(text)) == [
        "以下の通り：",
        "・一つ目の続き",
        "・二つ目",
        "1. one",
        "2) two",
        "(3) three",
        "- four 3.5 is no item",
    ]


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
        ("a.md", random.Random(0).randbytes(3000), "binary"),
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


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "utf-16"])
def test_an_encoding_that_is_said(tmp_path, encoding):
    """Five characters are too few to guess from."""
    path = stored(tmp_path, "a.txt", "表計算。".encode(encoding))
    assert paragraphs(read_document(path, encoding)) == ["表計算。"]


def test_a_file_in_another_encoding_than_said_names_both(tmp_path):
    path = stored(tmp_path, "a.txt", "日本語".encode("cp932"))
    with pytest.raises(Unreadable, match=r"not in utf-8 \(index.encoding\): byte 0x93 at 0"):
        read_document(path, "utf-8")


def test_an_encoding_that_does_not_exist():
    with pytest.raises(MigakiError, match="'utf-9' is no encoding of text"):
        known_encoding("utf-9")
    known_encoding("cp932")
    known_encoding(None)


def test_an_encoding_that_the_page_declares(tmp_path):
    page = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=euc-jp"></head><body>表紙</body></html>'
    assert paragraphs(read_document(stored(tmp_path, "a.html", page.encode("euc_jp")))) == ["表紙"]


# PDF


def lines(texts: list[str], bottom: float, size: float = 12) -> list[tuple[float, float, float, str]]:
    return [(60, bottom - 18 * i, size, text) for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def guide() -> bytes:
    first = [
        *lines(["A Guide"], 740, 20),
        *lines(["The first paragraph of the page is so long that it", "goes on in a second line. It ends here."], 700),
        *lines(["This one is cut by the end of the page, because it"], 620),
        *lines(["Migaki, page 1"], 40),
    ]
    second = [
        *lines(["goes on overleaf. There it ends."], 740),
        *lines(["量子化はモデルの重みを小さな整数で", "表す方法です。メモリが減ります。"], 650),
        *lines(["・一つ目", "・二つ目"], 560),
        *lines(["Migaki, page 2"], 40),
    ]
    return pdf([first, second, [*lines(["最後の頁。"], 740), *lines(["Migaki, page 3"], 40)]], "Guide")


def test_pdf_paragraphs_with_their_pages(tmp_path, guide):
    parsed = read_document(stored(tmp_path, "a.pdf", guide))
    assert parsed.title == "Guide"
    assert {section.heading for section in parsed.sections} == {"A Guide"}
    assert [(section.page, section.paragraphs) for section in parsed.sections] == [
        (
            1,
            [
                "The first paragraph of the page is so long that it goes on in a second line. It ends here.",
                "This one is cut by the end of the page, because it goes on overleaf. There it ends.",
            ],
        ),
        (2, ["量子化はモデルの重みを小さな整数で表す方法です。メモリが減ります。", "・一つ目", "・二つ目"]),
        (3, ["最後の頁。"]),
    ]


def test_pages_that_differ_in_nothing_but_a_number_are_kept(tmp_path):
    parsed = read_document(stored(tmp_path, "a.pdf", pdf([lines([f"Slide {i}"], 700) for i in range(4)])))
    assert paragraphs(parsed) == [f"Slide {i}" for i in range(4)]


def test_pdf_headings_are_those_of_its_outline(tmp_path):
    content = b"BT /F 12 Tf 60 700 Td (1. Start) Tj 0 -40 Td (Some text.) Tj 0 -40 Td (1.1 Deep) Tj 0 -40 Td (More text.) Tj ET"
    data = one_page(
        content,
        b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>",
        b"<< /Type /Outlines /First 6 0 R /Last 6 0 R /Count 2 >>",
        b"<< /Title (Start) /Parent 5 0 R /Dest [3 0 R /Fit] /First 7 0 R /Last 7 0 R /Count 1 >>",
        b"<< /Title (1.1 Deep) /Parent 6 0 R /Dest [3 0 R /Fit] >>",
    ).replace(b"/Type /Catalog", b"/Type /Catalog /Outlines 5 0 R")
    assert outline(read_document(stored(tmp_path, "a.pdf", data))) == [("Start", ["Some text."]), ("Start > 1.1 Deep", ["More text."])]


ENCRYPTED = one_page(
    b"",
    b"",
    b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4 >>" % (b"41" * 32, b"42" * 32),
    trailer=b"/Encrypt 5 0 R /ID [<00> <00>]",
)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7\nnonsense", "no whole PDF file"),
        (one_page(b"0 0 1 1 re f"), "no text in its 1 pages; if they are scanned, run OCR"),
        (ENCRYPTED, "encrypted"),
    ],
    ids=["empty", "damaged", "pictures", "encrypted"],
)
def test_a_pdf_that_cannot_be_read_says_why(tmp_path, data, says):
    assert says in documents(stored(tmp_path, "a.pdf", data))["a.pdf"]


def test_a_pdf_cut_short(tmp_path, guide):
    for share in (0.1, 0.5, 0.9):
        (document,) = documents(stored(tmp_path, "a.pdf", guide[: int(len(guide) * share)])).values()
        assert isinstance(document, str) or paragraphs(document)


# Word


def test_word_headings_tables_and_order(tmp_path):
    document = docx.Document()
    document.core_properties.author, document.core_properties.title = "山田", "手引き"
    document.add_paragraph("前書き")
    document.add_heading("One", 1)
    document.add_paragraph("First.")
    table = document.add_table(2, 2)
    for cell, text in zip([cell for row in table.rows for cell in row.cells], ["品目", "値段", "りんご", "100円"], strict=True):
        cell.text = text
    document.add_paragraph("After.")
    document.add_heading("Deep", 2)
    document.add_paragraph("Item", style="List Bullet")
    parsed = read_document(stored(tmp_path, "a.docx", word(document)))
    assert parsed.title == "手引き" and parsed.meta["author"] == "山田"
    assert outline(parsed) == [("", ["前書き"]), ("One", ["First.", "品目 値段", "りんご 100円", "After."]), ("One > Deep", ["Item"])]


def test_japanese_styles_and_styles_based_on_headings(tmp_path):
    document = docx.Document()
    for name, base in (("見出し 1", None), ("見出し２", None), ("社内見出し", "Heading 3"), ("表題", None)):
        style = document.styles.add_style(name, 1)
        style.base_style = document.styles[base] if base else None
    for style, text in (("表題", "規程"), ("見出し 1", "総則"), ("見出し２", "目的"), ("社内見出し", "細目"), ("Normal", "本文。")):
        document.add_paragraph(text, style=style)
    parsed = read_document(stored(tmp_path, "a.docx", word(document)))
    assert parsed.title == "規程" and outline(parsed) == [("総則 > 目的 > 細目", ["本文。"])]


def test_word_text_in_places_of_all_kinds(tmp_path):
    """Content controls, links, tracked insertions and text boxes are text; deletions, field codes and furigana are none."""
    document = docx.Document()
    paragraph = document.add_paragraph("base ")._p
    spaces = nsdecls("w")
    run = "<w:r><w:t>%s</w:t></w:r>"
    for xml in (
        f"<w:ins {spaces}>{run % 'inserted '}</w:ins>",
        f"<w:del {spaces}><w:r><w:delText>deleted</w:delText></w:r></w:del>",
        f"<w:moveFrom {spaces}>{run % 'moved'}</w:moveFrom>",
        f"<w:hyperlink {spaces}>{run % 'link '}</w:hyperlink>",
        f"<w:r {spaces}><w:instrText>PAGE</w:instrText></w:r>",
        f"<w:r {spaces}><w:ruby><w:rt>{run % 'みがき'}</w:rt><w:rubyBase>{run % '磨き'}</w:rubyBase></w:ruby></w:r>",
    ):
        paragraph.append(parse_xml(xml))
    document.element.body.insert(1, parse_xml(f"<w:sdt {spaces}><w:sdtContent><w:p>{run % 'control'}</w:p></w:sdtContent></w:sdt>"))
    box = parse_xml(f"<w:r {spaces}><w:pict><w:txbxContent><w:p>{run % 'box'}</w:p></w:txbxContent></w:pict></w:r>")
    document.add_paragraph("beside")._p.append(box)
    assert paragraphs(read_document(stored(tmp_path, "a.docx", word(document)))) == ["base inserted link 磨き", "control", "beside box"]


def test_word_rows_of_a_nested_table(tmp_path):
    document = docx.Document()
    cell = document.add_table(1, 2).rows[0].cells[1]
    cell.text = "outer"
    cell.add_table(1, 1).rows[0].cells[0].text = "inner"
    assert paragraphs(read_document(stored(tmp_path, "a.docx", word(document)))) == ["outer inner"]


def test_a_docx_that_cannot_be_read_says_why(tmp_path):
    whole = word(docx.Document())
    other = BytesIO()
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("a.txt", "no Word file")
    for data, says in (
        (b"\xd0\xcf\x11\xe0" + bytes(500), "encrypted"),
        (whole[: len(whole) // 2], "no whole docx file"),
        (b"PK nonsense", "no whole docx file"),
        (other.getvalue(), "no whole docx file"),
        (whole, "no text"),
        (b"", "the file is empty"),
    ):
        assert says in documents(stored(tmp_path, "a.docx", data))["a.docx"]


# Rows


def test_each_row_is_a_document(tmp_path):
    path = stored(tmp_path, "faq.csv", 'id,title,text,team\na,Hello,One.,x\n,Again,"Two.\n\nThree.",\n'.encode("utf-8-sig"))
    found = documents(path)
    assert list(found) == ["faq.csv#a", "faq.csv#2"]
    assert (found["faq.csv#a"].title, found["faq.csv#a"].meta, paragraphs(found["faq.csv#a"])) == ("Hello", {"team": "x"}, ["One."])
    assert paragraphs(found["faq.csv#2"]) == ["Two.", "Three."] and found["faq.csv#2"].meta == {}


def test_columns_are_named(tmp_path):
    rows = [
        {"key": 7, "質問": "何？", "答え": "これ。", "n": 1},
        {"key": 7, "質問": None, "答え": "それ。", "x": [1]},
        {"key": 8, "答え": "  "},
    ]
    path = stored(tmp_path, "faq.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n{broken\n")
    found = documents(path, "text=答え,title=質問,id=key")
    first, second, third, broken = found.values()
    assert list(found) == ["faq.jsonl#7", "faq.jsonl#7.2", "faq.jsonl#8", "faq.jsonl#4"]
    assert (first.title, paragraphs(first), first.meta) == ("何？", ["これ。"], {"n": "1"})
    assert (second.title, second.meta) == ("", {"x": "[1]"})
    assert "no column '質問'" in third and "broken JSON" in broken


def test_a_table_in_shift_jis(tmp_path):
    text = "title,text\n" + "".join(f"第{i}条,利用者はこの規約に同意したものとみなします。\n" for i in range(9))
    found = documents(stored(tmp_path, "a.csv", text.encode("cp932")))
    assert len(found) == 9 and found["a.csv#3"].title == "第2条"


def test_rows_without_text_say_which_columns_there_are(tmp_path):
    found = documents(stored(tmp_path, "a.csv", "question,answer\nq,a\n"))
    assert found == {"a.csv#1": "it has no column 'text', only question, answer; say which holds what, as in FILE#text=COLUMN"}
    assert documents(stored(tmp_path, "b.jsonl", '{"text": 5}')) == {"b.jsonl#1": "its column 'text' holds no text: 5"}


@pytest.mark.parametrize("spec", ["text", "text=", "=a", "body=a", "text=a,text=b"])
def test_columns_said_in_another_form(spec):
    with pytest.raises(MigakiError, match="write role=column"):
        Columns.of(spec)


def test_rows_of_the_catalog():
    rows = [{"id": 1, "text": "A.", "lang": "en"}, {"id": 2, "text": None, "lang": "ja"}]
    (name, document), (other, reason) = row_documents("table:notes", rows, Columns.of(""))
    assert (name, paragraphs(document), document.meta) == ("table:notes#1", ["A."], {"lang": "en"})
    assert other == "table:notes#2" and "holds no text" in str(reason)


# Who may see it


@pytest.mark.parametrize(
    ("label", "groups"),
    [
        (["sales", "board"], ("sales", "board")),
        ("sales, board", ("sales", "board")),
        ("sales\nboard\n", ("sales", "board")),
        ("営業、経理 部", ("営業", "経理 部")),
        ("team@example.com", ("team@example.com",)),
        (["a", "a"], ("a",)),
        ("*", EVERYONE),
    ],
)
def test_labels(label, groups):
    assert groups_of(label, "it") == groups


@pytest.mark.parametrize(
    "label", ["", " ", ",", "a,,b", "a,", None, [], [""], [1], True, 5, {"a": 1}, "[a, b]", "a, *", "a;b", '"a"', ["a,b"]]
)
def test_a_label_that_cannot_be_understood_closes(label):
    with pytest.raises(Unreadable, match="does not say who may see it"):
        groups_of(label, "it")


def test_labels_and_facts_in_front_matter():
    parsed = parse_markdown(
        "---\r\ntitle: 規程\r\nallowed: [hr, board]\r\nAuthor: me\r\ntags: [a, b]\r\ndate: 2026-01-02\r\nnone:\r\n---\r\n# Heading\r\n\r\ntext\r\n"
    )
    assert (parsed.title, parsed.allowed) == ("規程", ("hr", "board"))
    assert parsed.meta == {"author": "me", "tags": "a, b", "date": "2026-01-02"} and outline(parsed) == [("Heading", ["text"])]


@pytest.mark.parametrize(
    "front",
    [
        "---\nallowed: []\n---\n",
        "---\nallowed:\n---\n",
        "---\nallowed: [a\n---\n",
        "---\nALLOWED: 5\n---\n",
        "---\nallowed: a: b\n---\n",
        "---\nauthor: me\nallowed: [hr]\n\nNever ended.\n",
        "\n---\nallowed: {hr}\n---\n",
        "---\nallowed: !!python/object:os.system [x]\n---\n",
    ],
)
def test_front_matter_that_fails_closed(tmp_path, front):
    assert isinstance(documents(stored(tmp_path, "a.md", front + "secret"))["a.md"], str)


def test_text_between_thematic_breaks_is_no_front_matter():
    assert paragraphs(parse_markdown("---\n\nJust text.\n\n---\n\nMore.")) == ["Just text.", "More."]


def test_labels_and_facts_in_html(tmp_path):
    head = '<META NAME="Allowed" content="hr, board"><meta name=author content=me><meta charset=utf-8>'
    parsed = parse_html(f"<html><head>{head}</head><body>text</body></html>")
    assert parsed.allowed == ("hr", "board") and parsed.meta == {"author": "me"}
    for broken in ("<meta name=allowed>", "<meta name=allowed content=''>", "<meta name=allowed content=a><meta name=allowed content=b>"):
        assert isinstance(documents(stored(tmp_path, "a.html", broken + "secret"))["a.html"], str)


def test_labels_in_a_column(tmp_path):
    path = stored(tmp_path, "a.csv", 'id,text,allowed\na,x,"hr,board"\nb,x,\nc,x,*\n')
    found = documents(path, label="everybody")
    assert found["a.csv#a"].allowed == ("hr", "board") and "does not say who" in found["a.csv#b"] and found["a.csv#c"].allowed == ()
    found = documents(stored(tmp_path, "b.jsonl", '{"text": "x"}\n{"text": "x", "allowed": null}'), label="staff")
    assert found["b.jsonl#1"].allowed == ("staff",) and "does not say who" in found["b.jsonl#2"]
    assert "no column 'group'" in documents(stored(tmp_path, "c.jsonl", '{"text": "x"}'), "allowed=group")["c.jsonl#1"]


def test_the_nearest_folder_rule_holds_unless_the_document_says_so(tmp_path):
    for name, data in {
        "docs/.allowed": "staff",
        "docs/a.md": "a",
        "docs/own.md": "---\nallowed: [board]\n---\nb",
        "docs/open.md": "---\nallowed: '*'\n---\nb",
        "docs/hr/.allowed": "hr\nboard\n",
        "docs/hr/deep/b.txt": "b",
        "docs/broken/.allowed": "",
        "docs/broken/c.txt": "c",
        "docs/odd/.allowed": b"\xff\xfe\x00",
        "docs/odd/d.txt": "d",
    }.items():
        stored(tmp_path, name, data)

    def who(specs: list[str]) -> dict:
        found = {file.name: next(iter(documents(file.path, file.columns, *file.labels).values())) for file in find_documents(specs)}
        return {name: document if isinstance(document, str) else document.allowed for name, document in found.items()}

    seen = who([str(tmp_path / "docs")])
    assert "does not say who" in seen.pop("broken/c.txt") and "does not say who" in seen.pop("odd/d.txt")
    assert seen == {"a.md": ("staff",), "own.md": ("board",), "open.md": (), "hr/deep/b.txt": ("hr", "board")}
    assert who([str(tmp_path / "docs/hr/deep")]) == {"b.txt": ("hr", "board")}  # naming what is below does not open it


# Which files


def test_globs_and_columns(tmp_path):
    for name in ("a.md", "b.txt", "x/c.md", "x/y/d.md", "x/.git/e.md"):
        stored(tmp_path, f"docs/{name}", "text")
    stored(tmp_path, "docs/faq.csv", "q,a\n1,2\n")
    names = lambda spec: [file.name for file in find_documents([f"{tmp_path}/docs/{spec}"])]
    assert names("**/*.md") == ["a.md", "x/c.md", "x/y/d.md"]
    assert names("*.md") == ["a.md"] and names("x/**") == ["c.md", "y/d.md"]
    (table,) = find_documents([f"{tmp_path}/docs/*.csv#text=a,title=q"])
    assert (table.name, table.columns) == ("faq.csv", "text=a,title=q")
    with pytest.raises(MigakiError, match=r"\*.pdf' matches no file"):
        names("*.pdf")
    with pytest.raises(MigakiError, match="does not exist"):
        names("gone.csv#text=a")


def test_a_name_with_a_hash_or_a_star_is_a_name(tmp_path):
    stored(tmp_path, "a#b=c.md", "text")
    stored(tmp_path, "[x].md", "text")
    assert [file.name for file in find_documents([f"{tmp_path}/a#b=c.md", f"{tmp_path}/[x].md"])] == ["a#b=c.md", "[x].md"]


def test_copies_keep_columns_and_labels(tmp_path):
    stored(tmp_path, "hr/.allowed", "hr")
    stored(tmp_path, "hr/faq.csv", "q,a\n1,2\n")
    stored(tmp_path, "open/a.md", "text")
    files = find_documents([f"{tmp_path}/hr/faq.csv#text=a", f"{tmp_path}/open"])
    for file in files:
        stored(tmp_path, f"copy/{file.name}", file.path.read_bytes())
    keep_rules(files, tmp_path / "copy")
    copies = {file.name: file for file in kept_documents(tmp_path / "copy")}
    assert {name: (file.columns, file.labels) for name, file in copies.items()} == {"faq.csv": ("text=a", ("hr",)), "a.md": ("", ())}
    assert {file.name: file.digest() for file in files} == {name: file.digest() for name, file in copies.items()}


def test_the_digest_follows_contents_columns_and_label(tmp_path):
    path = str(stored(tmp_path, "faq.csv", "text,other\na,b\n"))
    digest = lambda spec: find_documents([spec])[0].digest()
    plain, columns = digest(path), digest(f"{path}#text=other")
    stored(tmp_path, ".allowed", "hr")
    labelled = digest(path)
    stored(tmp_path, ".allowed", "board")
    assert len({plain, columns, labelled, digest(path)}) == 4


@needs_shared
@pytest.mark.parametrize("name", ["docs/debian-faq/en/basic-defs.en.html", "docs/debian-faq/ja/choosing.ja.html"])
def test_every_paragraph_of_a_real_page_is_there(name):
    from selectolax.lexbor import LexborHTMLParser

    path = SHARED / name
    found = "".join("".join(f"{section.heading}{''.join(section.paragraphs)}".split()) for section in read_document(path).sections)
    blocks = ["".join(node.text().split()) for node in LexborHTMLParser(path.read_text(encoding="utf-8")).css("div.section p")]
    assert len(blocks) > 20 and all(block in found for block in blocks)
