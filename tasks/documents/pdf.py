"""PDF files to sections, one or more a page. Paragraphs are told by where their lines stand, headings by the file's outline or, where it has
none, by the size of their letters.
"""

import re
from collections import Counter, deque
from collections.abc import Iterator
from ctypes import c_double
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, takewhile
from math import hypot
from statistics import median

from pypdfium2 import PdfDocument, PdfiumError, PdfTextPage, raw

from tasks.documents.access import label_in
from tasks.documents.parsed import Headings, Parsed, Section, Unreadable, keep_bare_headings, squeeze

LINE = re.compile(r"[^\r\n]+")
HYPHENS = "\x02\ufffe\u00ad"  # how PDFium marks the hyphen of a word that is cut at a line's end
ENDED = re.compile(r"[.!?:。．！？：…]['\"”’)\]」』）]*$")
ITEM = re.compile(r"(?:[-*•‣・●○■◆]|[(（]?\d{1,3}[.)）．]\s|[①-⑳])")
APART, SHORT, INDENT, OTHER_SIZE = 1.4, 0.85, 0.8, 0.15  # see `_begins`
LOOSEST = 1.8  # sizes of the letters from one line to the next; what stands further apart is no paragraph
HEADING_SIZE, LONGEST_HEADING = 1.15, 150  # times the size of most letters; characters
PROPERTIES = {"Author": "author", "Subject": "subject", "Keywords": "keywords", "CreationDate": "created"}
LABELS = ("allowed", "Allowed", "ALLOWED")  # properties of one's own; PDFium knows no list of those that there are
NO_TITLE = re.compile(r"(microsoft \w+ - .*|untitled.*|無題.*|\S+\.\w{2,4})", re.I)  # what programs write there unasked


@dataclass(frozen=True)
class Line:
    """A line of text with its place on the page and the size of its letters, in points from the lower left."""

    text: str
    left: float
    right: float
    baseline: float
    size: float


@dataclass(frozen=True)
class Block:
    """A paragraph or heading; `page` counts from 1."""

    page: int
    lines: list[Line]

    @cached_property
    def text(self) -> str:
        return _joined(self.lines)


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
    labels = {name: value for name in LABELS if (value := document.get_metadata_value(name).strip())}
    parsed.allowed = label_in(labels, "its properties")
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
    blocks = _blocks(_without_furniture(pages))
    parsed.sections = _sections(blocks, _by_outline(blocks, _outline(document)) or _by_size(blocks))
    return parsed


def _lines(page: PdfTextPage) -> Iterator[Line]:
    count = page.count_chars()
    # A character beyond 16 bits may come as two halves.
    text = "".join(chr(raw.FPDFText_GetUnicode(page, index)) for index in range(count))
    for found in LINE.finditer(text):
        if not found[0].strip():
            continue
        first, last = found.start() + len(found[0]) - len(found[0].lstrip()), found.end() - 1
        size = max(_letters(page, index) for index in (first, (first + last) // 2, last))  # a word of code in it may be smaller
        content = found[0].encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
        yield Line(content, page.get_charbox(first)[0], page.get_charbox(last)[2], _baseline(page, first), size)


def _baseline(page: PdfTextPage, index: int) -> float:
    x, y = c_double(), c_double()
    raw.FPDFText_GetCharOrigin(page, index, x, y)
    return y.value


def _letters(page: PdfTextPage, index: int) -> float:
    """Size of a letter's font as it appears, in points."""
    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(page, index, matrix)
    return raw.FPDFText_GetFontSize(page, index) * hypot(matrix.c, matrix.d)


def _without_furniture(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages without the lines that stand first or last on at least half of them, or, but for the numbers in them, on at least three.

    A page that is nothing else stays as it is.
    """
    seen = Counter(shape for page in pages if page for shape in {_shape(page[0]), _shape(page[-1])})
    repeated = {shape for shape, times in seen.items() if times >= 3 and ("0" in shape or times >= len(pages) / 2)}
    return [
        [line for index, line in enumerate(page) if 0 < index < len(page) - 1 or _shape(line) not in repeated] or page for page in pages
    ]


def _shape(line: Line) -> str:
    return re.sub(r"[0-9０-９]+", "0", line.text)


def _blocks(pages: list[list[Line]]) -> list[Block]:
    """The paragraphs of all pages, each on the page where it begins."""
    blocks: list[Block] = []
    for number, lines in enumerate(pages, 1):
        for index, paragraph in enumerate(_paragraphs(lines)):
            if index == 0 and blocks and _goes_on(blocks[-1], pages[number - 2], paragraph[0]):
                blocks[-1].lines.extend(paragraph)
            else:
                blocks.append(Block(number, paragraph))
    return blocks


def _goes_on(block: Block, page: list[Line], line: Line) -> bool:
    """Does the last paragraph of a page go on with a line of the next? If it is cut inside a sentence, after a line as long as others."""
    above = block.lines[-1]
    short = len(page) < 2 or above.right - above.left < SHORT * (max(other.right for other in page) - above.left)
    return not (short or ENDED.search(above.text) or ITEM.match(line.text) or _other_size(line, above))


def _other_size(line: Line, above: Line) -> bool:
    return abs(line.size - above.size) > OTHER_SIZE * above.size


def _paragraphs(lines: list[Line]) -> list[list[Line]]:
    steps = [above.baseline - line.baseline for above, line in pairwise(lines)]
    leading = median([step for step in steps if step > 0] or [0.0])
    widest = max((line.right for line in lines), default=0.0)
    found: list[list[Line]] = []
    for line in lines:
        if not found or _begins(line, found[-1], min(leading, LOOSEST * line.size), widest):
            found.append([])
        found[-1].append(line)
    return found


def _begins(line: Line, paragraph: list[Line], leading: float, widest: float) -> bool:
    """Does a line begin a paragraph? It does as an item of a list, in letters of another size, further down than lines usually stand, or,
    after the end of a sentence, when it is indented or the line above it is short.
    """
    above = paragraph[-1]
    if ITEM.match(line.text) or _other_size(line, above) or above.baseline - line.baseline > APART * leading:
        return True
    indented = line.left - paragraph[0].left > INDENT * line.size
    return bool(ENDED.search(above.text)) and (indented or above.right - above.left < SHORT * (widest - above.left))


def _by_outline(blocks: list[Block], outline: list[tuple[int, int, str]]) -> dict[int, list[tuple[int, str]]]:
    """Index of a block that is a heading to the (level, title) of the bookmarks passed with it: its own, last, and those not found before."""
    found: dict[int, list[tuple[int, str]]] = {}
    waiting = deque(outline)
    for index, block in enumerate(blocks):
        passed = takewhile(lambda entry: entry[0] <= block.page, waiting)
        place = next((place for place, (_, _, title) in enumerate(passed) if _same(block.text, title)), None)
        if place is not None:
            found[index] = [waiting.popleft()[1:] for _ in range(place + 1)]
    return found


def _outline(document: PdfDocument) -> list[tuple[int, int, str]]:
    """(page, level, title) of the bookmarks, both from 1, page by page."""
    found = []
    for bookmark in document.get_toc():
        target, title = bookmark.get_dest(), squeeze(bookmark.get_title())
        if target is not None and title and (page := target.get_index()) is not None:
            found.append((page + 1, bookmark.level + 1, title))
    return sorted(found, key=lambda entry: entry[0])


def _same(text: str, title: str) -> bool:
    """Is this paragraph that heading? Its number may be missing in the outline."""
    text, title = "".join(text.split()), "".join(title.split())
    return text == title or (text.endswith(title) and len(text) - len(title) <= 8)


def _by_size(blocks: list[Block]) -> dict[int, list[tuple[int, str]]]:
    """As `_by_outline`, of short paragraphs in larger letters than most; the larger, the higher the level."""
    sizes: Counter[int] = Counter()
    for block in blocks:
        sizes[round(block.lines[0].size)] += len(block.text)
    usual = sizes.most_common(1)[0][0]
    headings = {
        index: round(block.lines[0].size)
        for index, block in enumerate(blocks)
        if block.lines[0].size > HEADING_SIZE * usual and len(block.text) <= LONGEST_HEADING
    }
    levels = {size: level for level, size in enumerate(sorted(set(headings.values()), reverse=True), 1)}
    return {index: [(levels[size], blocks[index].text)] for index, size in headings.items()}


def _sections(blocks: list[Block], found: dict[int, list[tuple[int, str]]]) -> list[Section]:
    headings, sections = Headings(), [Section("", page=1)]
    for index, block in enumerate(blocks):
        for level, title in found.get(index, []):
            sections.append(Section(headings.enter(level, title), page=block.page))
        if block.page != sections[-1].page:
            sections.append(Section(headings.path, page=block.page))
        if index not in found:
            sections[-1].paragraphs.append(block.text)
    keep_bare_headings(sections)
    return sections


def _joined(lines: list[Line]) -> str:
    text = lines[0].text
    for line in lines[1:]:
        text = text[:-1] + line.text if text[-1] in HYPHENS else f"{text}\n{line.text}"
    return squeeze(text.translate(dict.fromkeys(map(ord, HYPHENS[:2]), "-")))
