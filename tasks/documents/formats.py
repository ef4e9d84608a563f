"""Documents to sections of plain text under a path of headings. What cannot be read is `Unreadable`, which names the reason.

Each format has a module of its own; here the bytes become text and the reader is chosen. Readers of libraries are loaded when a file needs them.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.documents.access import groups_of, label_names, settle, together
from tasks.documents.front_matter import meant_labels
from tasks.documents.markup import parse_html, parse_markdown, parse_text
from tasks.documents.parsed import SUFFIXES, Parsed, Section, Unreadable
from tasks.documents.rows import Columns, Document, row_documents
from tasks.errors import MigakiError
from tasks.text.encodings import NotText, decoded

__all__ = [
    "Parsed",
    "Section",
    "Unreadable",
    "decode",
    "known_encoding",
    "parse_html",
    "parse_markdown",
    "parse_text",
    "read_document",
    "read_file",
]

MAX_BYTES = {"pdf": 200_000_000, "word": 200_000_000, "rows": 200_000_000}
MAX_TEXT_BYTES = 20_000_000
FIRST = 8  # paragraphs in which front matter may have been meant
MAX_UNPACKED = 200_000_000  # bytes that a docx may become: a zip file of 200 kB can hold gigabytes
DECLARED = re.compile(rb"""<(?:meta\s[^>]*|\?xml\s[^>]*)(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.I)


def read_file(
    name: str, path: Path, columns: str = "", labels: Sequence[str] = (), encoding: str | None = None, unpacked: int = MAX_UNPACKED
) -> Iterator[Document]:
    """(name, document) of a file: one, or one for each row of a table.

    Args:
        columns: for tables, as `Columns.of` takes it.
        labels: who may see what says nothing about it itself, as it stands in the folder's `.allowed`; of several, all hold.
        encoding: of text files; None tells it from the bytes.
        unpacked: bytes that a packed file may become.
    """
    try:
        folder = together([groups_of(label, "the file .allowed that holds for it") for label in labels])
        if SUFFIXES.get(path.suffix.lower()) == "rows":
            yield from row_documents(name, _rows(path, encoding), Columns.of(columns), folder)
            return
        parsed = read_document(path, encoding, unpacked)
        parsed.allowed = settle(parsed.allowed, folder)
        yield name, parsed
    except Unreadable as reason:
        yield name, reason


def read_document(path: Path, encoding: str | None = None, unpacked: int = MAX_UNPACKED) -> Parsed:
    """Title and sections of a file that is one document; `allowed` is what it says itself.

    Raises:
        Unreadable: another kind of file, too large, damaged, encrypted, empty, without text, or not in that encoding.
    """
    kind, data = _contents(path)
    if kind == "pdf":
        from tasks.documents.pdf import parse_pdf

        parsed = parse_pdf(data)
    elif kind == "word":
        from tasks.documents.word import parse_word

        parsed = parse_word(data, unpacked)
    elif kind == "rows":
        raise Unreadable("it is a table, not one document")
    else:
        parse = {"text": parse_text, "markdown": parse_markdown, "html": parse_html}[kind]
        parsed = parse(decode(data, encoding, markup=kind == "html"))
    parsed.sections = [section for section in parsed.sections if section.paragraphs]
    if not parsed.allowed and kind in ("pdf", "word"):
        _require_no_label(parsed)
    if not parsed.sections:
        raise Unreadable("there is no text in it")
    parsed.title = parsed.title or path.stem
    return parsed


def _require_no_label(parsed: Parsed) -> None:
    """Raises:
    Unreadable: its properties or first lines look as if they named who may see it, where no label is read.
    """
    first = [paragraph for section in parsed.sections[:2] for paragraph in section.paragraphs[:FIRST]][:FIRST]
    if names := label_names("\n".join([parsed.title, *parsed.meta.values()])) or meant_labels("\n".join(first)):
        raise Unreadable(f"it looks as if it named who may see it, where that is not read: {names[0]!r}")


def _contents(path: Path) -> tuple[str, bytes]:
    """(kind, bytes)"""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise Unreadable(f"files of kind {path.suffix or 'without suffix'!r} are not read; {', '.join(SUFFIXES)} are")
    most = MAX_BYTES.get(kind, MAX_TEXT_BYTES)
    try:
        if (size := path.stat().st_size) > most:
            raise Unreadable(f"{size:,} bytes; at most {most:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"it cannot be opened: {error.strerror}") from error
    if not data.strip():
        raise Unreadable("the file is empty")
    return kind, data


def _rows(path: Path, encoding: str | None) -> Iterator[dict | Unreadable]:
    from tasks.documents.tables import BadRow, parse_csv, parse_json_lines

    _, data = _contents(path)
    parse = parse_csv if path.suffix.lower() == ".csv" else parse_json_lines
    for row in parse(path.name, decode(data, encoding)):
        yield Unreadable(row.detail) if isinstance(row, BadRow) else row.value


def known_encoding(encoding: str | None) -> None:
    """Check a setting.

    Raises:
        MigakiError: there is no such encoding of text.
    """
    try:
        b"a".decode(encoding or "utf-8", errors="ignore")
    except LookupError as error:
        raise MigakiError(f"index.encoding = {encoding!r} is no encoding of text; utf-8, cp932 (Shift JIS) and euc_jp are some") from error


def decode(data: bytes, encoding: str | None = None, markup: bool = False) -> str:
    """Text in the encoding given, or else in UTF-8, what the file declares (`markup`) or what the bytes look like: Shift JIS, EUC-JP,
    ISO-2022-JP, UTF-16 or Windows-1252.

    Raises:
        Unreadable: empty, binary, not in the encoding given, or of no known one.
    """
    if not data.strip():
        raise Unreadable("the file is empty")
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise Unreadable(f"it is not in {encoding} (index.encoding): byte {data[error.start]:#04x} at {error.start:,}") from error
    declared = DECLARED.search(data[:4096]) if markup else None
    try:
        return decoded(data, declared[1].decode(errors="replace") if declared else "")
    except NotText as error:
        raise Unreadable(f"{error}, or say it as index.encoding" if "UTF-8" in str(error) else str(error)) from error
