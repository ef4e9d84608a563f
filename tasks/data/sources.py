"""Read rows from the files people have: JSON, JSONL, CSV, Parquet, plain or gzipped.

A row that cannot be read is not an exception but a `BadRow`, with its line and the reason, so that one broken line in the middle costs one row.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.files import sha256_of
from tasks.data.normalise import FORMATS
from tasks.data.settings import PrepareSettings
from tasks.documents.finding import find_documents
from tasks.documents.tables import BadRow, Row, parse_csv, parse_json_lines
from tasks.errors import MigakiError

KINDS = ("instructions", "preferences", "documents", "questions", "text")
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")


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
            yield from parse_csv(path.name, read_text(path))
        case _:
            yield from parse_json_lines(path.name, read_text(path))


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


def _json(path: Path) -> Iterator[Row | BadRow]:
    """A list of rows, a SQuAD file as one row, or, for a file that is really JSON lines, its lines."""
    text = read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from parse_json_lines(path.name, text)
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


def _parquet(path: Path) -> Iterator[Row]:
    try:
        table = pq.ParquetFile(io.BytesIO(read_bytes(path))).read()
    except (pa.ArrowException, OSError) as error:
        raise MigakiError(f"{str(path)!r} is no Parquet file: {error}") from error
    for number, row in enumerate(table.to_pylist(), 1):
        yield Row(path.name, number, row)


def input_files(settings: PrepareSettings) -> dict[str, Any]:
    """What prepare reads, by content: enters the key of the dataset in place of the paths."""
    return {kind: fingerprint(getattr(settings, kind), kind, settings.follow_links) for kind in KINDS}


def fingerprint(specs: list[str], kind: str, follow_links: bool = False) -> list[list[Any]]:
    """For each specification its format and the digest of every file that it reaches, by its name below what was named."""
    found = []
    for spec in specs:
        if kind == "documents":
            found.append([None, Path(spec).name, {file.name: file.digest() for file in find_documents([spec], follow_links)}])
        else:
            path = existing(spec, kind)
            found.append([split_format(spec, kind)[0], path.name, {path.name: sha256_of(path)} if path.is_file() else {}])
    return found
