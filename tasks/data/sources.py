"""Read rows from the files people have: JSON, JSONL, CSV, Parquet, plain or gzipped.

A row that cannot be read is not an exception but a `BadRow`, with its line and the reason, so that one broken line in the middle costs one row.
"""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import MigakiError

FORMATS = ("alpaca", "messages", "prompt_completion", "pairs", "hh", "responses", "qa", "squad")
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
DOCUMENT_SUFFIXES = (".txt", ".md", ".markdown", ".html", ".htm")
MAX_LINE = 5_000_000  # characters; a longer line is a broken file, not a row


@dataclass(frozen=True)
class Row:
    """A row as it stood in a file."""

    source: str
    line: int  # line of the file, or number of the row where the format has no lines
    value: dict[str, Any]


@dataclass(frozen=True)
class BadRow:
    source: str
    line: int
    detail: str
    text: str


def split_format(spec: str) -> tuple[str | None, Path]:
    """`squad:questions.json` to ("squad", path); a path alone to (None, path)."""
    name, colon, rest = spec.partition(":")
    return (name, Path(rest)) if colon and name in FORMATS else (None, Path(spec))


def existing(spec: str) -> Path:
    """The path of a file specification.

    Raises:
        MigakiError: there is nothing there.
    """
    path = split_format(spec)[1]
    if not path.exists():
        raise MigakiError(f"{str(path)!r} does not exist (looked from {str(Path.cwd())!r})")
    return path


def read_rows(spec: str) -> Iterator[Row | BadRow]:
    """The rows of one file.

    Raises:
        MigakiError: the file is missing, empty, of another kind, or not UTF-8 throughout.
    """
    path = existing(spec)
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if path.is_dir() or kind not in SUFFIXES:
        raise MigakiError(f"{str(path)!r} is no data file; accepted are {', '.join(SUFFIXES)}, each also with .gz")
    if path.stat().st_size == 0:
        raise MigakiError(f"{str(path)!r} is empty")
    if kind == ".parquet":
        yield from _parquet(path)
    elif kind == ".json":
        yield from _json(path, _text(path))
    else:
        yield from (_csv if kind == ".csv" else _json_lines)(path.name, _text(path))


def _text(path: Path) -> str:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError) as error:
        raise MigakiError(f"{str(path)!r} is not a whole gzip file: {error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MigakiError(f"{str(path)!r} is not UTF-8: byte {data[error.start]:#04x} in line {line}. Convert it first, for example with `iconv -f SHIFT_JIS -t UTF-8`") from error


def _json_lines(source: str, text: str) -> Iterator[Row | BadRow]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if len(line) > MAX_LINE:
            yield BadRow(source, number, f"a line of {len(line):,} characters; at most {MAX_LINE:,} are accepted", line[:200])
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            yield BadRow(source, number, f"broken JSON: {error.msg} at character {error.pos}", line[:500])
            continue
        yield Row(source, number, value) if isinstance(value, dict) else BadRow(source, number, f"a JSON object was expected, this is a {type(value).__name__}", line[:500])


def _json(path: Path, text: str) -> Iterator[Row | BadRow]:
    """A list of rows, a SQuAD file as one row, or, for a file that is really JSON lines, its lines."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _json_lines(path.name, text)
            return
        raise MigakiError(f"{str(path)!r} is broken JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    rows = value if isinstance(value, list) else [value]
    for number, row in enumerate(rows, 1):
        yield Row(path.name, number, row) if isinstance(row, dict) else BadRow(path.name, number, f"a JSON object was expected, this is a {type(row).__name__}", str(row)[:500])


def _csv(source: str, text: str) -> Iterator[Row | BadRow]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for row in reader:
        if None in row or None in row.values():
            yield BadRow(source, reader.line_num, f"{len(reader.fieldnames or [])} columns were expected", str(row)[:500])
        else:
            yield Row(source, reader.line_num, row)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise MigakiError(f"{str(path)!r} is no Parquet file: {error}") from error
    for number, row in enumerate(table.to_pylist(), 1):
        yield Row(path.name, number, row)


def document_files(specs: list[str]) -> list[tuple[str, Path]]:
    """(name below the folder that was given, file) of every document, in order; files of other kinds are left to the caller to list."""
    found = []
    for spec in specs:
        root = existing(spec)
        files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
        found += [(str(path.relative_to(root)) if root.is_dir() else path.name, path) for path in files]
    return found


def fingerprint(specs: list[str]) -> dict[str, str]:
    """SHA-256 of every file that the specifications reach, by its name below what was named."""
    found = {}
    for spec in specs:
        for name, path in document_files([str(existing(spec))]):
            found[f"{split_format(spec)[1].name}/{name}"] = file_digest(path)
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
