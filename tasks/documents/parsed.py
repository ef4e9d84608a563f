"""What a document is once it has been read, whatever its format, and what all readers share."""

import re
from dataclasses import dataclass, field

# What is read, by the end of the name. Rows are documents each; all else is one document a file.
SUFFIXES = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".docx": "word",
    ".csv": "rows",
    ".jsonl": "rows",
    ".ndjson": "rows",
}
JAPANESE_BREAK = re.compile(r"(?<=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])[ \t]*\r?\n\s*(?=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])")


class Unreadable(Exception):
    """Why a document cannot be indexed."""


@dataclass
class Section:
    """Paragraphs under one heading; `heading` is the path of headings above them, joined by " > "; `page` counts from 1, where there are pages."""

    heading: str
    paragraphs: list[str] = field(default_factory=list)
    page: int | None = None


@dataclass
class Parsed:
    """`allowed` names the groups that may see the document, none: everyone. `meta` is what it says about itself, for filters."""

    title: str
    sections: list[Section]
    allowed: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)


def squeeze(text: str) -> str:
    """White space to single spaces; a line break inside Japanese text to nothing."""
    return " ".join(JAPANESE_BREAK.sub("", text).split())


class Headings:
    """The path of headings at a place in a document."""

    def __init__(self) -> None:
        self._by_level: dict[int, str] = {}

    def enter(self, level: int, text: str) -> str:
        """The path below a heading: it closes all of its level and below."""
        self._by_level = {above: heading for above, heading in self._by_level.items() if above < level} | {level: text}
        return self.path

    @property
    def path(self) -> str:
        return " > ".join(self._by_level.values())


def keep_bare_headings(sections: list[Section]) -> None:
    """A heading with nothing below it is text itself."""
    for section, following in zip(sections, [*sections[1:], Section("")], strict=True):
        if section.heading and not section.paragraphs and not following.heading.startswith(section.heading):
            section.paragraphs.append(section.heading.split(" > ")[-1])
