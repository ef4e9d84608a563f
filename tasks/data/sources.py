"""Read rows from the files people have: JSON, JSONL, CSV, Parquet, plain or gzipped.

A row that cannot be read is not an exception but a `BadRow`, with its line and the reason, so that one broken line in the middle costs one row.
"""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.normalise import FORMATS
from tasks.errors import MigakiError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
MAX_LINE = 5_000_000  # characters; a longer line is a broken file, not a row


@dataclass(frozen=True)
class Row:
    """A row as it stood in a file."""

    source: str
    line: int  # line of the file, or number of the row where the format has no lines
    value: dict[str, Any]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, why, and all of it."""

    source: str
    line: int
    detail: str
    text: str


def split_format(spec: str, kind: str) -> tuple[str | None, Path]:
    """`squad:questions.json` to ("squad", path); a path alone to (None, path). `kind` is a setting's name, which decides what formats there are."""
    name, colon, rest = spec.partition(":")
    return (name, Path(rest)) if colon and name in FORMATS.get(kind, ()) else (None, Path(spec))


def existing(spec: str, kind: str) -> Path:
    """The path of a file specification.

    Raises:
        MigakiError: there is nothing there.
    """
    path = split_format(spec, kind)[1]
    if not path.exists():
        formats = f"; formats that may stand before the path are {', '.join(FORMATS[kind])}" if ":" in spec and kind in FORMATS else ""
        raise MigakiError(f"prepare.{kind}: {str(path)!r} does not exist (looked from {str(Path.cwd())!r}){formats}")
    return path


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """The rows of one file.

    Raises:
        MigakiError: the file is empty, of another kind, or not UTF-8 throughout.
    """
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if path.is_dir() or kind.lower() not in SUFFIXES:
        raise MigakiError(f"{str(path)!r} is no data file; accepted are {', '.join(SUFFIXES)}, each also with .gz")
    match kind.lower():
        case ".parquet":
            yield from _parquet(path)
        case ".json":
            yield from _json(path)
        case ".csv":
            yield from _csv(path.name, read_text(path))
        case _:
            yield from _json_lines(path.name, read_text(path))


def read_bytes(path: Path) -> bytes:
    """What a file holds, unpacked where its name ends in .gz.

    Raises:
        MigakiError: it cannot be read or unpacked, or is empty.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MigakiError(f"{str(path)!r} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise MigakiError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if not data.strip():
        raise MigakiError(f"{str(path)!r} is empty")
    return data


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        MigakiError: as `read_bytes`, or it is not UTF-8; names the line.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MigakiError(
            f"{str(path)!r} is not UTF-8: byte {data[error.start]:#04x} in line {line}. Convert it first, for example with `iconv -f SHIFT_JIS -t UTF-8`"
        ) from error


def _json_lines(source: str, text: str) -> Iterator[Row | BadRow]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if len(line) > MAX_LINE:
            yield BadRow(source, number, f"a line of {len(line):,} characters; at most {MAX_LINE:,} are accepted", line)
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError, too many brackets are the other
            yield BadRow(source, number, f"broken JSON: {error}", line)
            continue
        yield (
            Row(source, number, value)
            if isinstance(value, dict)
            else BadRow(source, number, f"a JSON object was expected, this is a {type(value).__name__}", line)
        )


def _json(path: Path) -> Iterator[Row | BadRow]:
    """A list of rows, a SQuAD file as one row, or, for a file that is really JSON lines, its lines."""
    text = read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _json_lines(path.name, text)
            return
        raise MigakiError(f"{str(path)!r} is broken JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise MigakiError(f"{str(path)!r} is broken JSON: {error}") from error
    for number, row in enumerate(value if isinstance(value, list) else [value], 1):
        yield (
            Row(path.name, number, row)
            if isinstance(row, dict)
            else BadRow(path.name, number, f"a JSON object was expected, this is a {type(row).__name__}", json.dumps(row))
        )


def _csv(source: str, text: str) -> Iterator[Row | BadRow]:
    csv.field_size_limit(MAX_LINE)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(
                source, reader.line_num, f"broken CSV: {error}", "\n".join(text.split("\n")[reader.line_num - 1 : reader.line_num])
            )
            continue
        if None in row or None in row.values():
            cells = [cell for value in row.values() for cell in (value if isinstance(value, list) else [value])]
            yield BadRow(
                source, reader.line_num, f"{len(reader.fieldnames or [])} columns were expected", json.dumps(cells, ensure_ascii=False)
            )
        else:
            yield Row(source, reader.line_num, row)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        table = pq.ParquetFile(io.BytesIO(read_bytes(path))).read()
    except (pa.ArrowException, OSError) as error:
        raise MigakiError(f"{str(path)!r} is no Parquet file: {error}") from error
    for number, row in enumerate(table.to_pylist(), 1):
        yield Row(path.name, number, row)


def document_files(specs: list[str]) -> list[tuple[str, Path]]:
    """(name, file) of everything in the folders and files given, in order, hidden files aside. A name is the path below the folder
    that was given; where two folders have the same one, the later is put below its folder's name.
    """
    found: dict[str, Path] = {}
    for spec in specs:
        root = existing(spec, "documents")
        files = (
            sorted(
                path
                for path in root.rglob("*")
                if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
            )
            if root.is_dir()
            else [root]
        )
        for path in files:
            name = path.relative_to(root).as_posix() if root.is_dir() else path.name
            up = root.absolute() if root.is_dir() else root.absolute().parent
            while name in found and found[name].resolve() != path.resolve() and up.name:
                name, up = f"{up.name}/{name}", up.parent
            found[name] = path
    return list(found.items())


def fingerprint(specs: list[str], kind: str) -> list[list[Any]]:
    """For each specification its format and the SHA-256 of every file that it reaches, by its name below what was named."""
    found = []
    for spec in specs:
        path = existing(spec, kind)
        files = document_files([spec]) if kind == "documents" else [(path.name, path)]
        found.append([split_format(spec, kind)[0], path.name, {name: file_digest(file) for name, file in files if file.is_file()}])
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
