"""Documents to sections of plain text under a path of headings. What cannot be read raises `Unreadable`, which names the reason."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from charset_normalizer import from_bytes
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

MAX_BYTES = 20_000_000
SUFFIXES = {".txt": "text", ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
INLINE = frozenset(
    {
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "br",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "img",
        "ins",
        "kbd",
        "label",
        "mark",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "td",
        "th",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    }
)
# What leads to text but is none. The classes are DocBook's, in which much software is documented.
PASSED_OVER = (
    "head > :not(title)",
    "script",
    "style",
    "nav",
    "footer",
    "noscript",
    "template",
    "svg",
    "select",
    ".navheader",
    ".navfooter",
    ".toc",
)
JAPANESE_BREAK = re.compile(r"(?<=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])[ \t]*\r?\n\s*(?=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])")
ENCODINGS = ["cp932", "euc_jp", "cp1252", "utf_16", "utf_16_le", "utf_16_be"]  # what English and Japanese files come in
BINARY = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))  # control characters that no text holds


class Unreadable(Exception):
    """Why a file cannot be indexed."""


@dataclass
class Section:
    """Paragraphs under one heading; `heading` is the path of headings above them, joined by " > "."""

    heading: str
    paragraphs: list[str] = field(default_factory=list)


@dataclass
class Parsed:
    title: str
    sections: list[Section]


def read_document(path: Path) -> Parsed:
    """Title and sections of a txt, md or html file.

    Raises:
        Unreadable: another kind of file, too large, binary, empty or without text.
    """
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise Unreadable(f"files of kind {path.suffix or 'without suffix'!r} are not read; {', '.join(SUFFIXES)} are")
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"{path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
    text = decode(path.read_bytes())
    parsed = {"text": parse_text, "markdown": parse_markdown, "html": parse_html}[kind](text)
    parsed.sections = [section for section in parsed.sections if section.paragraphs]
    if not parsed.sections:
        raise Unreadable("there is no text in it")
    parsed.title = parsed.title or path.stem
    return parsed


def decode(data: bytes) -> str:
    """UTF-8, or what the bytes look like: Shift JIS, EUC-JP, ISO-2022-JP, UTF-16 or Windows-1252.

    Raises:
        Unreadable: empty, binary, or of no known encoding.
    """
    if not data.strip():
        raise Unreadable("the file is empty")
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not wide and len(data) - len(data.translate(None, BINARY)) > len(data) // 1000:
        raise Unreadable("the file is binary, not text")
    if b"\x1b$" in data[:10_000]:  # ISO-2022-JP is made of ASCII bytes, so it would pass for UTF-8
        return data.decode("iso2022_jp", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        best = from_bytes(data, cp_isolation=ENCODINGS).best()
        if best is None:
            raise Unreadable("its character encoding was not recognised; save it as UTF-8") from None
        return str(best)


def parse_text(text: str) -> Parsed:
    """Paragraphs are set apart by empty lines."""
    return Parsed("", [Section("", [squeezed for block in re.split(r"\n\s*\n", text) if (squeezed := _squeeze(block))])])


def parse_markdown(text: str) -> Parsed:
    """As the HTML that it stands for; front matter between lines of --- is passed over."""
    return parse_html(MarkdownIt("commonmark").enable("table").render(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)))


def parse_html(text: str) -> Parsed:
    """All text in reading order, cut at block elements, each block under the headings before it; a table row is one block.

    Scripts, styles, navigation and tables of contents are passed over.
    """
    tree = LexborHTMLParser(text)
    for selector in PASSED_OVER:
        for node in tree.css(selector):
            node.decompose()
    titled = tree.css_first("h1") or tree.css_first("title")
    parsed = Parsed(_squeeze(titled.text()) if titled else "", [Section("")])
    path: dict[int, str] = {}
    for tag, block in _blocks(tree.body):
        if tag in HEADINGS:
            level = int(tag[1])
            path = {above: heading for above, heading in path.items() if above < level} | {level: block}
            parsed.sections.append(Section(" > ".join(path.values())))
        else:
            parsed.sections[-1].paragraphs.append(block)
    for section, following in zip(parsed.sections, [*parsed.sections[1:], Section("")], strict=True):
        if (
            section.heading and not section.paragraphs and not following.heading.startswith(section.heading)
        ):  # a heading over nothing is text itself
            section.paragraphs.append(section.heading.split(" > ")[-1])
    return parsed


def _blocks(root: LexborNode | None) -> Iterator[tuple[str, str]]:
    """(tag, text) of each run of text between the borders of block elements. A stack of its own, for pages nested deeper than Python's."""
    stack: list[LexborNode | str | None] = [root]
    tags, texts = ["body"], [""]

    def ended() -> Iterator[tuple[str, str]]:
        block = texts.pop().strip("\n") if tags[-1] == "pre" else _squeeze(texts.pop())
        texts.append("")
        if block.strip():
            yield tags[-1], block.rstrip()

    while stack:
        item = stack.pop()
        if isinstance(item, str):  # the end of a block element
            yield from ended()
            tags.pop()
        elif item is not None and item.tag == "-text":
            texts[-1] += item.text_content or ""
        elif item is not None and item.tag in INLINE:
            texts[-1] += {"br": "\n", "td": " ", "th": " "}.get(item.tag, "")
            stack += reversed(list(item.iter(include_text=True)))
        elif item is not None and not item.tag.startswith("-"):
            yield from ended()
            tags.append(tags[-1] if tags[-1] in ("pre", *HEADINGS) else item.tag)
            stack += ["end", *reversed(list(item.iter(include_text=True)))]


def _squeeze(text: str) -> str:
    """White space to single spaces; a line break inside Japanese text to nothing."""
    return " ".join(JAPANESE_BREAK.sub("", text).split())
