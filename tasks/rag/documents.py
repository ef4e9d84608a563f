"""Documents to sections of plain text under a path of headings. What cannot be read raises `Unreadable`, which names the reason."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from charset_normalizer import from_bytes
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

MAX_BYTES = 20_000_000
SUFFIXES = {".txt": "text", ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html"}
BLOCKS = ("p", "li", "dt", "dd", "pre", "td", "th", "blockquote", "figcaption")
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


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
    """UTF-8, or what the bytes look like (Shift JIS, EUC-JP, Latin-1, ...)."""
    if not data.strip():
        raise Unreadable("the file is empty")
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("the file is binary, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        best = from_bytes(data).best()
        if best is None:
            raise Unreadable("its character encoding was not recognised; save it as UTF-8") from None
        return str(best)


def parse_text(text: str) -> Parsed:
    return Parsed("", [Section("", [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()])])


def parse_markdown(text: str) -> Parsed:
    return parse_html(MarkdownIt("commonmark").enable("table").render(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)))


def parse_html(text: str) -> Parsed:
    """Text blocks in reading order, each under the headings before it. Scripts, styles and navigation are passed over."""
    tree = LexborHTMLParser(text)
    tree.strip_tags(["script", "style", "nav", "header", "footer", "noscript", "template", "svg"])
    titled = tree.css_first("h1") or tree.css_first("title")
    title = _plain(titled) if titled else ""
    path: dict[int, str] = {}
    sections = [Section("")]
    for node in tree.css(",".join((*HEADINGS, *BLOCKS))):
        if node.tag in HEADINGS:
            level = int(node.tag[1])
            path = {above: heading for above, heading in path.items() if above < level} | {level: _plain(node)}
            sections.append(Section(" > ".join(path.values())))
        elif not node.css_matches(",".join(BLOCKS)) or not _holds_block(node):
            text_of = _plain(node)
            if text_of:
                sections[-1].paragraphs.append(text_of)
    if not any(section.paragraphs for section in sections) and tree.body is not None:  # bare text between tags of no block
        sections.append(Section("", [block for block in (_squeeze(part) for part in tree.body.text(separator="\n").split("\n\n")) if block]))
    return Parsed(title, sections)


def _holds_block(node: LexborNode) -> bool:
    """Whether a block holds other blocks, which will be met themselves."""
    return any(child is not None and child.html != node.html for child in node.css(",".join(BLOCKS)))


def _plain(node: LexborNode) -> str:
    return _squeeze(node.text(separator="\n" if node.tag == "pre" else ""))


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
