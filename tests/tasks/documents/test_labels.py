"""What looks like a label and cannot be read hides its document, in whatever form somebody wrote it; a slip that is no label's costs nothing."""

import json
import os

import docx
import pytest
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part

from tasks.documents.access import admits, together
from tasks.documents.finding import KEPT_RULES, find_documents
from tasks.documents.formats import Unreadable, read_file
from tests.helpers.documents import one_page, word

SECRET = "\n\n役員の年俸は九百万円です。 The director earns nine millions.\n"


def read(tmp_path, name: str, data: str | bytes, columns: str = "", labels: tuple[str, ...] = ()):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    ((_, found),) = read_file(name, path, columns, labels)
    return found


READ = [
    "---\nallowed: [hr]\n---",
    "---\nallowed: hr \n---",
    "\ufeff---\r\nallowed: hr\r\n---\r",
    "---  \nallowed: [hr]\n---\u3000",
    "---\n'allowed': [hr]\n...",
    "---\nALLOWED: hr\n---",
    "---\nａｌｌｏｗｅｄ: [hr]\n---",
    "---\n  allowed: [hr]\n---",
    "---\ngroups: &g [hr]\nallowed: *g\n---",
    "---\n{title: x, allowed: [hr]}\n---",
    "---\n# who may see it\n# allowed: names groups\nallowed: [hr] # only\n---",
    "---\ntitle: Runbook: Database failover\nallowed: [hr]\n---",
    '---\ntitle: @x\nallowed:\n  - hr\nowner: "a" b\n---',
    '+++\nallowed = ["hr"]\n+++',
    '+++\ntitle = Runbook: x\nallowed = ["hr"]\n+++',
    '---toml\nallowed = ["hr"]\n---',
    '{"title": "x", "allowed": ["hr"]}\n',
    '{\n  "title": "x",\n  "Allowed": "hr"\n}\n',
    ';;;\n"allowed": ["hr"]\n;;;',
    ';;;\n{"allowed": ["hr"]}\n;;;',
]


@pytest.mark.parametrize("suffix", ["md", "txt", "html"])
@pytest.mark.parametrize("head", READ)
def test_front_matter_in_every_form_is_read_and_is_no_text(tmp_path, head, suffix):
    found = read(tmp_path, f"a.{suffix}", head + SECRET)
    assert found.allowed == ("hr",)
    assert "".join("".join(section.paragraphs) for section in found.sections) == SECRET.strip()


HIDDEN = [
    "---\nallowed：[hr]\n---",
    "---\nallowed： 人事\ntitle: 規程\n---",
    "---\nallowed_groups: [hr]\n---",
    "---\nallowedGroups: hr\n---",
    "---\nnot-allowed: hr\n---",
    "---\nalowed: [hr]\n---",
    "---\nаllowed: [hr]\n---",
    "---\ntitle: x\n allowed: hr\n---",
    "---\naccess:\n  allowed: [hr]\n---",
    "---\nbase: &b\n  allowed: [hr]\n<<: *b\n---",
    "---\n- allowed: [hr]\n---",
    "---\nallowed: [hr]\nallowed: [all]\n---",
    "---\nAllowed: [hr]\nallowed: [all]\n---",
    "---\ntitle: x\nallowed: [hr]",
    "---\ntitle: x\n\nallowed: [hr]",
    "---\ntitle: x\n---\n---\nallowed: hr\n---",
    "---\nallowed: [1]\n---",
    "---\nallowed:\n---",
    "---\nallowed: []\n---",
    "---\nallowed: true\n---",
    "---\nallowed: {hr: yes}\n---",
    "---\nallowed: hr: x\n---",
    "---\ntitle: x\nallowed : [hr\n---",
    "---\n\tallowed: [hr]\n---",
    "---\nallowed:\n\t- hr\n---",
    '---\nallowed = ["hr"]\n---',
    "+++\nallowed: hr\n+++",
    "+++\nallowed = [hr]\n+++",
    '+++\nallowed = "hr"',
    '+++\n[access]\nallowed = ["hr"]\n+++',
    '{"allowed": ["hr"',
    '{\n"title": "x",\n"allowed": ["hr"],\n}',
    '{"title": "x", allowed: ["hr"]}',
    "{'allowed': 'hr'}",
    '{"allowed": ["hr"], "allowed": "*"}',
    '{"meta": {"allowed": ["hr"]}}\n',
    ";;;\nallowed: hr\n;;;",
    "----\nallowed: hr\n----",
    "```yaml\nallowed: hr\n```",
    "<!-- allowed: hr -->",
    "<!--\n---\nallowed: hr\n---\n-->",
    "Title: x\nAllowed: hr",
    "**Allowed**: hr",
    "#+ALLOWED: hr",
    "% allowed: hr",
    '<meta name="allowed" content="hr"',
]


@pytest.mark.parametrize("suffix", ["md", "txt", "html"])
@pytest.mark.parametrize("head", HIDDEN)
def test_what_looks_like_a_label_and_cannot_be_read_hides(tmp_path, head, suffix):
    found = read(tmp_path, f"a.{suffix}", head + SECRET)
    assert isinstance(found, Unreadable) and "director" not in str(found) and "役員" not in str(found)


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("---\ntitle: Runbook: Database failover\nowner: ops\n---", "Runbook: Database failover"),
        ("---\ntitle: 規程: 第一: 総則\n---", "規程: 第一: 総則"),
        ('---\ntitle: "a" b\ntags:\n\t- a\n---', '"a" b'),
        ("---\ntitle: `x`\nauthor: @bob\n---", "`x`"),
        ("---\ntitle: [x\n---", "[x"),
        ("---\ntitle: *x*\nlink: see: http://x\n---", "*x*"),
        ("---\ntitle:\tTabs: and colons\n---", "Tabs: and colons"),
        ("---\ntitle: x\ndate: 2026-13-45\n---", "x"),
        ("+++\ntitle = Plain words\n+++", "Plain words"),
        ('{"title": "x"}\n', "x"),
        ("---\ntitle: x\n# allowed: names groups\n---", "x"),
        ("---\ntitle: The following: halloween\nfollowed: yes\n---", "The following: halloween"),
    ],
)
def test_a_slip_in_front_matter_costs_the_document_nothing(tmp_path, head, title):
    found = read(tmp_path, "a.md", head + SECRET)
    assert (found.title, found.allowed) == (title, ()) and [section.paragraphs for section in found.sections] == [[SECRET.strip()]]


@pytest.mark.parametrize("text", ["---\n\nJust text.\n\n---\n\nMore.", "# Rules\n\nAllowed here are bags.", "{% raw %}\ntext", '{"a": 1}'])
def test_text_that_only_looks_a_little_like_front_matter_stays(tmp_path, text):
    assert read(tmp_path, "a.txt", text).allowed == ()


@pytest.mark.parametrize(
    "tag",
    [
        "<meta name=allowed content=hr>",
        "<meta property='allowed' content='hr'>",
        '<META CONTENT="hr" NAME=" Allowed ">',
        '<meta name="&#97;llowed" content="h&#114;">',
        '<meta name="allowed" property="og:x" content="hr">',
    ],
)
def test_meta_tags_that_are_read(tmp_path, tag):
    for page in (f"<html><head>{tag}</head><body>{SECRET}", f"<body>{SECRET}{tag}"):
        assert read(tmp_path, "a.html", page).allowed == ("hr",)


@pytest.mark.parametrize(
    "tag",
    [
        "<meta http-equiv=allowed content=hr>",
        "<meta itemprop=allowed content=hr>",
        "<meta name=allowed>",
        "<meta name=allowed content=''>",
        "<meta name=allowed value=hr>",
        "<meta name=allowed content='[hr]'>",
        "<meta name=“allowed” content=“hr”>",
        "<meta name=allowed-groups content=hr>",
        "<meta name=allowed content=hr><meta property=allowed content=board>",
        "<template><meta name=allowed content=hr></template>",
        "<!-- allowed: hr -->",
    ],
)
def test_meta_tags_that_hide(tmp_path, tag):
    assert isinstance(read(tmp_path, "a.html", f"<html><head>{tag}</head><body>{SECRET}"), Unreadable)


def test_front_matter_against_a_tag_hides(tmp_path):
    assert isinstance(read(tmp_path, "a.html", f"---\nallowed: [hr]\n---\n<meta name=allowed content=board>{SECRET}"), Unreadable)


@pytest.mark.parametrize(
    ("name", "row", "allowed"),
    [
        ("a.csv", "text,allowed\nx,hr\n", ("hr",)),
        ("a.csv", "\ufefftext,Allowed \nx,hr\n", ("hr",)),
        ("a.csv", "\ufeffALLOWED,text\nhr,x\n", ("hr",)),
        ("a.csv", "text,allowed,allowed\nx,hr,*\n", None),
        ("a.csv", "text,allowed,Allowed\nx,hr,*\n", None),
        ("a.csv", "text,allowed_groups\nx,hr\n", None),
        ("a.csv", "text,allowed\nx,\n", None),
        ("a.jsonl", '{"text": "x", "Allowed": ["hr"]}', ("hr",)),
        ("a.jsonl", '{"text": "x", "allowed": ["hr"], "allowed": "*"}', None),
        ("a.jsonl", '{"text": "x", "meta": {"allowed": ["hr"]}}', None),
        ("a.jsonl", '{"text": "x", "allowed": [1]}', None),
        ("a.jsonl", '{"text": "x", "other": 1}', ()),
    ],
)
def test_columns(tmp_path, name, row, allowed):
    found = read(tmp_path, name, row)
    assert isinstance(found, Unreadable) if allowed is None else found.allowed == allowed


def test_a_named_column_is_the_label_whatever_others_are_called(tmp_path):
    assert read(tmp_path, "a.csv", "text,group,allowed_groups\nx,hr,y\n", "allowed=group").allowed == ("hr",)
    assert isinstance(read(tmp_path, "a.csv", "text,group\nx,hr\n", "allowed=team"), Unreadable)


def test_properties_of_word_and_pdf_files(tmp_path):
    def letter(entry: str) -> bytes:
        document = docx.Document()
        document.add_paragraph("Text.")
        blob = f'<Properties xmlns="c" xmlns:vt="v"><property name="{entry}"><vt:lpwstr>hr</vt:lpwstr></property></Properties>'
        package = document.part.package
        part = Part(PackURI("/docProps/custom.xml"), "application/xml", blob.encode(), package)
        package.relate_to(part, RELATIONSHIP_TYPE.CUSTOM_PROPERTIES)
        return word(document)

    assert read(tmp_path, "a.docx", letter("Allowed")).allowed == ("hr",)
    assert isinstance(read(tmp_path, "a.docx", letter("allowed groups")), Unreadable)
    page = b"BT /F1 12 Tf 50 700 Td (Text of the page.) Tj ET"
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for said, allowed in ((b"/Allowed (hr)", ("hr",)), (b"/Keywords (allowed: hr)", None), (b"/Keywords (lamps)", ())):
        found = read(tmp_path, "a.pdf", one_page(page, b"/Font << /F1 5 0 R >>", font, b"<< %s >>" % said, trailer=b"/Info 6 0 R"))
        assert isinstance(found, Unreadable) if allowed is None else found.allowed == allowed


# Folders and links


def found_in(folder, **how) -> dict:
    files = find_documents([str(folder)], **how)
    read = {
        file.name: Unreadable(file.barred) if file.barred else next(read_file(file.name, file.path, "", file.labels))[1] for file in files
    }
    return {name: str(document) if isinstance(document, Unreadable) else document.allowed for name, document in read.items()}


@pytest.mark.parametrize("kind", ["dangling", "loop", "folder", "pipe", "empty", "binary", "long", "comment", "misspelt", "capital"])
def test_a_folder_label_that_cannot_be_read_lets_nobody_in(tmp_path, kind):
    rule = tmp_path / "docs" / ".allowed"
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "deep" / "a.txt").write_text("text")
    if kind == "dangling":
        rule.symlink_to(tmp_path / "nowhere")
    elif kind == "loop":
        rule.symlink_to(rule)
    elif kind == "folder":
        rule.mkdir()
    elif kind == "pipe":
        os.mkfifo(rule)
    elif kind in ("misspelt", "capital"):
        rule.with_name({"misspelt": ".allowed.txt", "capital": ".Allowed"}[kind]).write_text("hr")
    else:
        rule.write_bytes({"empty": b"", "binary": b"\xff\xfe\x00", "long": b"hr\n" * 50_000, "comment": b"# hr only\nhr\n"}[kind])
    assert "does not say who may see it" in found_in(tmp_path / "docs")["deep/a.txt"]


def test_rules_that_somebody_left_in_a_folder_close_and_never_open(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / ".allowed").write_text("hr")
    for name in ("a.txt", "b.txt"):
        (docs / name).write_text("text")
    (docs / KEPT_RULES).write_text(
        json.dumps({"a.txt": {"columns": "", "label": None}, "b.txt": {"columns": "text=x", "labels": ["board"]}})
    )
    assert found_in(docs) == {"a.txt": ("hr",), "b.txt": ("board & hr",)}
    assert all(file.columns == "" for file in find_documents([str(docs)]))
    (docs / KEPT_RULES).write_text("{")
    assert all("does not say who" in found for found in found_in(docs).values())


def test_links_out_of_the_folder_are_listed_and_not_followed(tmp_path):
    docs, outside = tmp_path / "docs", tmp_path / "outside"
    for folder in (docs / "hr", outside / "deep"):
        folder.mkdir(parents=True)
    for path in (docs / "own.txt", docs / "hr" / "in.txt", outside / "a.txt", outside / "deep" / "b.txt"):
        path.write_text("text")
    (docs / "hr" / ".allowed").write_text("hr")
    (outside / ".allowed").write_text("board, 人事")
    (docs / "file.txt").symlink_to(outside / "a.txt")
    (docs / "hr" / "all").symlink_to(outside)
    (docs / "inside.txt").symlink_to(docs / "hr" / "in.txt")
    (docs / "loop").symlink_to(docs)
    (docs / "gone.txt").symlink_to(tmp_path / "nowhere")
    found = found_in(docs)
    for name in ("file.txt", "hr/all"):
        assert "out of the folder" in found.pop(name)
    assert "nowhere" in found.pop("gone.txt") and "already" in found.pop("loop")
    assert found == {"own.txt": (), "hr/in.txt": ("hr",), "inside.txt": ("hr",)}
    assert "out of the folder" in str(found_in(docs / "hr")) and set(found_in(f"{docs}/*.txt")) >= {"own.txt", "file.txt"}
    followed = found_in(docs, follow_links=True)
    assert followed["file.txt"] == ("board", "人事") and followed["hr/all/deep/b.txt"] == ("board & hr", "hr & 人事")
    assert admits(followed["hr/all/a.txt"], {"hr", "board"}) and not admits(followed["hr/all/a.txt"], {"board"})


def test_labels_that_hold_together():
    assert (
        together([("a",), ("a", "b")]) == ("a",)
        and together([("*",), ("a",)]) == ("a",)
        and together([("*",)]) == ("*",)
        and together([]) == ()
    )
