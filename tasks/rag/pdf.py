"""PDF files to sections, one or more a page. Paragraphs are told by where their lines stand; headings come from the file's outline."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pypdfium2 import PdfDocument, PdfiumError, PdfTextPage, raw

from tasks.rag.parsed import Headings, Parsed, Section, Unreadable, keep_bare_headings, squeeze

LINE = re.compile(r"[^\r\n]+")
HYPHENS = "\x02\ufffe\u00ad"  # how PDFium marks the hyphen of a word that is cut at a line's end
ENDED = re.compile(r"[.!?:。．！？：…]['\"”’)\]」』）]*$")
ITEM = re.compile(r"(?:[-*•‣・●○■◆]|[(（]?\d{1,3}[.)）．]\s|[①-⑳])")
APART, SHORT, INDENT, OTHER_SIZE = 1.4, 0.85, 0.8, 0.15  # see `_begins`
PROPERTIES = {"Author": "author", "Subject": "subject", "Keywords": "keywords", "CreationDate": "created"}
NO_TITLE = re.compile(r"(microsoft \w+ - .*|untitled.*|無題.*|\S+\.\w{2,4})", re.I)  # what programs write there unasked


@dataclass(frozen=True)
class Line:
    """A line of text with its place on the page, in points from the lower left."""

    text: str
    left: float
    right: float
    bottom: float
    height: float


def parse_pdf(data: bytes) -> Parsed:
    """The text of every page. A paragraph that goes on over a page break stands whole on the page where it begins.

    Raises:
        Unreadable: encrypted, damaged, or only pictures.
    """
    try:
        document = PdfDocument(data)
    except PdfiumError as error:
        locked = "password" in str(error).lower() or "security" in str(error).lower()
        raise Unreadable("it is encrypted: save it without a password" if locked else f"it is no whole PDF file: {error}") from error
    said = document.get_metadata_dict(skip_empty=True)
    title = said.get("Title", "").strip()
    parsed = Parsed(
        "" if NO_TITLE.fullmatch(title) else title, [], meta={name: said[key] for key, name in PROPERTIES.items() if key in said}
    )
    pages, pictures = [], []
    for number in range(len(document)):
        page = document[number]
        pages.append(list(_lines(page.get_textpage())))
        if not pages[-1] and next(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]), None):
            pictures.append(number + 1)
        page.close()
    if not any(pages):
        raise Unreadable(f"there is no text in its {len(pages)} pages; if they are scanned, run OCR on it first")
    if pictures:
        parsed.meta["pages_without_text"] = ", ".join(map(str, pictures))
    parsed.sections = _sections(_without_furniture(pages), _outline(document))
    return parsed


def _lines(page: PdfTextPage) -> Iterator[Line]:
    count = page.count_chars()
    # A character beyond 16 bits may come as two halves.
    text = "".join(chr(raw.FPDFText_GetUnicode(page, index)) for index in range(count))
    for found in LINE.finditer(text):
        if not found[0].strip():
            continue
        first, last = found.start() + len(found[0]) - len(found[0].lstrip()), found.end() - 1
        left, bottom, _, top = page.get_charbox(first, loose=True)
        _, _, right, _ = page.get_charbox(last, loose=True)
        yield Line(found[0].encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip(), left, right, bottom, top - bottom)


def _without_furniture(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages without the lines that stand, but for numbers, first or last on at least half of them."""
    seen = Counter(shape for page in pages if page for shape in {_shape(page[0]), _shape(page[-1])})
    repeated = {shape for shape, times in seen.items() if times >= max(3, len(pages) / 2)}
    return [[line for index, line in enumerate(page) if index not in (0, len(page) - 1) or _shape(line) not in repeated] for page in pages]


def _shape(line: Line) -> str:
    return re.sub(r"[0-9０-９]+", "0", line.text)


def _outline(document: PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """Page (from 0) to the (level, title) of the bookmarks that lead there."""
    found: dict[int, list[tuple[int, str]]] = {}
    for bookmark in document.get_toc():
        target, title = bookmark.get_dest(), squeeze(bookmark.get_title())
        if target is not None and title and (page := target.get_index()) is not None:
            found.setdefault(page, []).append((bookmark.level + 1, title))
    return found


def _sections(pages: list[list[Line]], outline: dict[int, list[tuple[int, str]]]) -> list[Section]:
    headings, sections = Headings(), []
    before: Line | None = None  # the last line of the page before
    for number, lines in enumerate(pages):
        pending = outline.get(number, [])
        sections.append(Section(headings.path, page=number + 1))
        for index, paragraph in enumerate(_paragraphs(lines)):
            text = _joined(paragraph)
            place = next((place for place, (_, title) in enumerate(pending) if _same(text, title)), None)
            if place is not None:
                for level, title in pending[: place + 1]:
                    headings.enter(level, title)
                pending = pending[place + 1 :]
                sections.append(Section(headings.path, page=number + 1))
            elif index == 0 and before is not None and _goes_on(before, paragraph[0]):
                earlier = next(section for section in reversed(sections) if section.paragraphs)
                earlier.paragraphs[-1] = _joined([Line(earlier.paragraphs[-1], 0, 0, 0, 0), *paragraph])
            else:
                sections[-1].paragraphs.append(text)
            before = None if place is not None else paragraph[-1]
        for level, title in pending:
            headings.enter(level, title)
    keep_bare_headings(sections)
    return sections


def _same(text: str, title: str) -> bool:
    """Is this paragraph that heading? Its number may be missing in the outline."""
    text, title = "".join(text.split()), "".join(title.split())
    return text == title or (text.endswith(title) and len(text) - len(title) <= 8)


def _goes_on(before: Line, line: Line) -> bool:
    return not ENDED.search(before.text) and not ITEM.match(line.text) and abs(line.height - before.height) <= OTHER_SIZE * before.height


def _paragraphs(lines: list[Line]) -> list[list[Line]]:
    steps = [above.bottom - line.bottom for above, line in pairwise(lines)]
    leading = median([step for step in steps if step > 0] or [0.0])
    widest = max((line.right for line in lines), default=0.0)
    found: list[list[Line]] = []
    for line in lines:
        if not found or _begins(line, found[-1], leading, widest):
            found.append([])
        found[-1].append(line)
    return found


def _begins(line: Line, paragraph: list[Line], leading: float, widest: float) -> bool:
    """Does a line begin a paragraph? It does as an item of a list, in letters of another size, further down than lines usually stand, or,
    after the end of a sentence, when it is indented or the line above it is short.
    """
    above = paragraph[-1]
    if ITEM.match(line.text) or abs(line.height - above.height) > OTHER_SIZE * above.height:
        return True
    if above.bottom - line.bottom > APART * leading:
        return True
    indented = line.left - paragraph[0].left > INDENT * line.height
    return bool(ENDED.search(above.text)) and (indented or above.right - above.left < SHORT * (widest - above.left))


def _joined(lines: list[Line]) -> str:
    text = lines[0].text
    for line in lines[1:]:
        text = text[:-1] + line.text if text[-1] in HYPHENS else f"{text}\n{line.text}"
    return squeeze(text.translate(dict.fromkeys(map(ord, HYPHENS[:2]), "-")))
