"""Read rows from the files people have: JSON, JSONL, CSV (commas, semicolons or tabs), Parquet, plain or gzipped.

A row that cannot be read is not an exception but a `BadRow`, with its line and the reason, so that one broken line in the middle costs one row.
"""

import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.files import sha256_of
from tasks.data.normalise import FORMATS
from tasks.data.settings import PrepareSettings
from tasks.documents.finding import find_documents
from tasks.documents.tables import BadRow, Row, parse_csv, parse_json_lines
from tasks.errors import MigakiError
from tasks.text.encodings import OTHER, NotText, decoded_or_damaged
from tasks.unpacking import TooLarge, gunzipped

KINDS = ("instructions", "preferences", "documents", "questions", "followups", "text")
MAX_UNPACKED_MB = 1000
MB = 1_000_000
ROW = 64  # bytes that a value takes as a Python object at least
BATCH = 4096  # rows of a Parquet file decoded at once
HALF = re.compile("[\ud800-\udfff]")
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


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


def read_rows(path: Path, most: int = MAX_UNPACKED_MB) -> Iterator[Row | BadRow]:
    """The rows of one file. One with half a character (a lone surrogate, which no file can hold) is bad.

    Args:
        most: megabytes that the file may become when it is unpacked.

    Raises:
        MigakiError: the file is empty, of another kind, no text, or too large when unpacked.
    """
    for row in _rows(path, most):
        yield _whole(row)


def _whole(row: Row | BadRow) -> Row | BadRow:
    text = row.text if isinstance(row, BadRow) else json.dumps(row.value, ensure_ascii=False, default=str)
    found = HALF.search(text)
    if found is None:
        return row
    safe = text.encode("utf-8", errors="backslashreplace").decode()
    what = (
        f"a byte that is no UTF-8 ({ord(found[0]) - 0xDC00:#04x})" if OTHER.match(found[0]) else f"half a character (U+{ord(found[0]):04X})"
    )
    return BadRow(row.source, row.line, row.detail if isinstance(row, BadRow) else f"{what} after {safe[: found.start()][-20:]!r}", safe)


def _rows(path: Path, most: int) -> Iterator[Row | BadRow]:
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if path.is_dir() or kind.lower() not in SUFFIXES:
        raise MigakiError(f"{str(path)!r} is no data file; accepted are {', '.join(SUFFIXES)}, each also with .gz")
    match kind.lower():
        case ".parquet":
            yield from _parquet(path, most)
        case ".json":
            yield from _json(path, most)
        case ".csv" | ".tsv":
            yield from parse_csv(path.name, _rows_text(path, most))
        case _:
            yield from parse_json_lines(path.name, _rows_text(path, most))


def read_bytes(path: Path, most: int = MAX_UNPACKED_MB) -> bytes:
    """What a file holds, unpacked where its name ends in .gz, up to `most` megabytes.

    Raises:
        MigakiError: it cannot be read or unpacked, is too large when unpacked, or is empty.
    """
    try:
        with path.open("rb") as file:
            data = gunzipped(iter(lambda: file.read(MB), b""), most * MB) if path.suffix == ".gz" else file.read()
    except TooLarge:
        raise _too_large(path, most) from None
    except (EOFError, zlib.error) as error:
        raise MigakiError(f"{str(path)!r} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise MigakiError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if not data.strip():
        raise MigakiError(f"{str(path)!r} is empty")
    return data


def _too_large(path: Path, most: int) -> MigakiError:
    return MigakiError(
        f"{str(path)!r} ({path.stat().st_size:,} bytes) becomes more than {most:,} MB when it is unpacked, which is the most that is read "
        "(prepare.max_unpacked_mb): split the file, or raise that setting if you trust it"
    )


def read_text(path: Path, most: int = MAX_UNPACKED_MB) -> str:
    """The text of a file, in whatever encoding it comes (`tasks.text.encodings`).

    Raises:
        MigakiError: as `read_bytes`, or it is no text; a broken character names its line.
    """
    text = _rows_text(path, most)
    if broken := OTHER.search(text):
        line = text.count("\n", 0, broken.start()) + 1
        raise MigakiError(
            f"{str(path)!r} is not UTF-8 throughout: byte {ord(broken[0]) - 0xDC00:#04x} in line {line}. Save it as UTF-8 again"
        )
    return text


def _rows_text(path: Path, most: int) -> str:
    """The text of a file of rows, in which a broken character costs its row and no more."""
    data = read_bytes(path, most)
    try:
        return decoded_or_damaged(data)
    except NotText as error:
        raise MigakiError(f"{str(path)!r}: {error}") from error


def _json(path: Path, most: int) -> Iterator[Row | BadRow]:
    """A list of rows, a SQuAD file as one row, or, for a file that is really JSON lines, its lines."""
    text = _rows_text(path, most)
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


def _parquet(path: Path, most: int) -> Iterator[Row]:
    """Texts stay as the dictionary that they are written as until their length is known: a value repeated a million times takes no room."""
    number, size = 0, 0
    try:
        data = read_bytes(path, most)
        schema = pq.ParquetFile(io.BytesIO(data)).schema
        texts = [column.path for column in map(schema.column, range(len(schema))) if column.physical_type == "BYTE_ARRAY"]
        file = pq.ParquetFile(io.BytesIO(data), read_dictionary=texts)
        if sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)) > most * MB:
            raise _too_large(path, most)
        for batch in file.iter_batches(BATCH):
            size += sum(_unpacked_bytes(column) for column in batch.columns)
            if size > most * MB:
                raise _too_large(path, most)
            for row in batch.to_pylist():
                number += 1
                yield Row(path.name, number, row)
    except (pa.ArrowException, OSError) as error:
        raise MigakiError(f"{str(path)!r} is no Parquet file: {error}") from error


def _unpacked_bytes(column: pa.Array) -> int:
    """What the values of a column take as Python objects, about."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(column.dictionary)
        return (pc.sum(lengths.take(column.indices)).as_py() or 0) + ROW * len(column)
    if pa.types.is_struct(kind):
        return ROW * len(column) + sum(_unpacked_bytes(field) for field in column.flatten())
    if pa.types.is_map(kind):
        return ROW * len(column) + _unpacked_bytes(column.keys) + _unpacked_bytes(column.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return ROW * len(column) + _unpacked_bytes(column.flatten())
    return ROW * len(column) + int(column.nbytes)


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
