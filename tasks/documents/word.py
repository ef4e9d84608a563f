"""Word files (docx) to sections: headings by style, paragraphs, tables row by row, notes at the end."""

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO

import docx
from docx.document import Document
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.styles.style import BaseStyle
from lxml import etree

from tasks.documents.access import label_in
from tasks.documents.parsed import Headings, Parsed, Section, Unreadable, keep_bare_headings, squeeze

COMPOUND_FILE = b"\xd0\xcf\x11\xe0"  # what encrypted docx and old doc files are packed in
HEADING = re.compile(r"(?:heading|見出し)\s*(\d)", re.I)
TITLES = ("title", "表題")
TEXT, PARAGRAPH, ROW = qn("w:t"), qn("w:p"), qn("w:tr")
# Text that was moved away, furigana, codes of fields, and what stands in for a drawing where that cannot be shown.
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
DROPPED = {qn("w:moveFrom"), qn("w:rt"), qn("w:instrText"), FALLBACK}
SPACES = {qn("w:tab"): " ", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
NOTES = ("/footnotes", "/endnotes")
CUSTOM = "/custom-properties"
PROPERTIES = ("author", "category", "comments", "keywords", "language", "subject", "created", "modified")


def parse_word(data: bytes, most: int) -> Parsed:
    """All text of the body in order, tracked insertions, content controls and text boxes included, deletions not.

    Raises:
        Unreadable: encrypted, in the format before docx, damaged, or too large when unpacked.
    """
    document = _opened(data, most)
    own = document.core_properties
    parsed = Parsed(own.title or "", [Section("")], meta={name: str(value) for name in PROPERTIES if (value := getattr(own, name))})
    parsed.allowed = label_in(_custom_properties(document), "its properties")
    headings = Headings()
    levels = {style.style_id: level for style in document.styles if (level := _level(style)) is not None}
    for style, text in _paragraphs(document.element.body):
        level = levels.get(style)
        if level == 0 and not parsed.title:
            parsed.title = text
        elif level:
            parsed.sections.append(Section(headings.enter(level, text)))
        else:
            parsed.sections[-1].paragraphs.append(text)
    notes = [text for part in _notes(document) for _, text in _paragraphs(part)]
    keep_bare_headings(parsed.sections)
    parsed.sections.append(Section("", notes))
    return parsed


def _opened(data: bytes, most: int) -> Document:
    if data.startswith(COMPOUND_FILE):
        raise Unreadable("it is encrypted, or a doc file under the name docx; save it as docx without a password")
    try:
        unpacked = sum(member.file_size for member in zipfile.ZipFile(BytesIO(data)).infolist())
        if unpacked > most:
            raise Unreadable(f"{unpacked:,} bytes when unpacked; at most {most:,} are read (index.max_unpacked_mb)")
        return docx.Document(BytesIO(data))
    except (zipfile.BadZipFile, etree.XMLSyntaxError, KeyError, ValueError, EOFError) as error:
        raise Unreadable(f"it is no whole docx file: {error}") from error


def _level(style: BaseStyle | None) -> int | None:
    """The level of a style for headings (0: the document's title), its own or that of the style it is based on."""
    while style is not None:
        name = (style.name or "").strip()
        if name.lower() in TITLES:
            return 0
        if found := HEADING.match(name):
            return int(found[1])
        style = getattr(style, "base_style", None)
    return None


def _paragraphs(root: etree._Element) -> Iterator[tuple[str, str]]:
    """(style, text) of each paragraph outside tables, and of each row of a table, in order."""
    stack = [root]
    while stack:
        element = stack.pop()
        if element.tag in (ROW, PARAGRAPH):
            style = element.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
            if text := squeeze(_text(element)):
                yield ("" if style is None else style.get(qn("w:val"))), text
        elif element.tag not in DROPPED:
            stack += reversed(element)


def _text(element: etree._Element) -> str:
    """The text of an element, a space around each paragraph inside it."""
    parts: list[str] = []
    stack: list[etree._Element | str] = [element]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
        elif item.tag == TEXT:
            parts.append(item.text or "")
        elif item.tag in SPACES:
            parts.append(SPACES[item.tag])
        elif item.tag not in DROPPED:
            apart = [" "] if item.tag == PARAGRAPH else []
            stack += [*apart, *reversed(item), *apart]
    return "".join(parts)


def _custom_properties(document: Document) -> dict[str, object]:
    """What somebody has entered under names of their own."""
    said: dict[str, object] = {}
    for relation in document.part.package.rels.values():
        if not relation.is_external and relation.reltype.endswith(CUSTOM):
            said |= {entry.get("name", ""): "".join(entry.itertext()) for entry in parse_xml(relation.target_part.blob)}
    return said


def _notes(document: Document) -> Iterator[etree._Element]:
    for relation in document.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(NOTES):
            yield parse_xml(relation.target_part.blob)
