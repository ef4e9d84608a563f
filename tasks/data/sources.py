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
ALLOWED = ".allowed"  # in a folder of documents: who may see everything below it, unless a nearer one or the document itself says so
KEPT_RULES = ".documents.json"  # in a folder of copies: columns and labels of the files by name
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


def parse_json_lines(source: str, text: str) -> Iterator[Row | BadRow]:
    """The rows of JSON lines; `source` names the file."""
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


def parse_csv(source: str, text: str) -> Iterator[Row | BadRow]:
    """The rows of a CSV file, whose first line names the columns."""
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


@dataclass(frozen=True)
class DocumentFile:
    """A file of documents: its name below what was given, which columns of a table are what, and who may see what it holds."""

    name: str
    path: Path
    columns: str = ""  # as in "text=answer,title=question"
    label: str | None = None  # the text of the nearest .allowed

    def digest(self) -> str:
        """SHA-256 of all that decides what is read from it; of the contents alone where nothing else does. What cannot be opened has one too: its reader says why."""
        try:
            contents = file_digest(self.path)
        except OSError as error:
            contents = hashlib.sha256(f"cannot be opened: {error.strerror}".encode()).hexdigest()
        if not self.columns and self.label is None:
            return contents
        return hashlib.sha256(json.dumps([contents, self.columns, self.label]).encode()).hexdigest()


def find_documents(specs: list[str]) -> list[DocumentFile]:
    """Everything in the files, folders and globs given, in order, hidden files aside.

    A specification may end in the columns of a table, `faq.csv#text=answer,title=question`. A name is the path below the folder that was
    given; where two folders have the same one, the later is put below its folder's name.

    Raises:
        MigakiError: there is nothing there.
    """
    found: dict[str, DocumentFile] = {}
    labels: dict[Path, str | None] = {}
    for spec in specs:
        place, columns = split_columns(spec)
        root, paths = _reached(place)
        kept = _kept_rules(root)
        for path in paths:
            name, up = path.relative_to(root).as_posix(), root.absolute()
            rule = kept.get(name, {"columns": columns, "label": _folder_label(path.absolute().parent, labels)})
            while name in found and found[name].path.resolve() != path.resolve() and up.name:
                name, up = f"{up.name}/{name}", up.parent
            found[name] = DocumentFile(name, path, **rule)
    return list(found.values())


def keep_rules(files: list[DocumentFile], folder: Path) -> None:
    """Write down columns and labels of files that are copied to `folder` under their names, so that `find_documents` finds them there."""
    rules = {file.name: {"columns": file.columns, "label": file.label} for file in files if file.columns or file.label is not None}
    if rules:
        (folder / KEPT_RULES).write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")


def split_columns(spec: str) -> tuple[str, str]:
    """`faq.csv#text=answer` to ("faq.csv", "text=answer"), what has no columns to (itself, "")."""
    place, _, columns = spec.rpartition("#")
    return (spec, "") if not place or "=" not in columns or Path(spec).exists() else (place, columns)


def _reached(place: str) -> tuple[Path, list[Path]]:
    """(folder that names are told from, files) of a file, a folder or a glob."""
    path = Path(place)
    if not path.exists() and (fixed := next((i for i, part in enumerate(path.parts) if set(part) & set("*?[")), None)) is not None:
        root, pattern = Path(*path.parts[:fixed]), "/".join(path.parts[fixed:])
        found = root.glob(f"{pattern}/*" if pattern.endswith("**") else pattern)
    else:
        root = existing(place, "documents")
        if not root.is_dir():
            return root.parent, [root]
        found = root.rglob("*")
    files = sorted(path for path in found if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts))
    if not files and root != path:
        raise MigakiError(f"prepare.documents: {place!r} matches no file (looked from {str(Path.cwd())!r})")
    return root, files


def _folder_label(folder: Path, known: dict[Path, str | None]) -> str | None:
    """The text of the nearest .allowed at or above a folder; what cannot be read is an empty label, which lets nobody in."""
    if folder not in known:
        rule = folder / ALLOWED
        try:
            known[folder] = rule.read_text(encoding="utf-8") if rule.exists() else None
        except (OSError, UnicodeDecodeError):
            known[folder] = ""
        if known[folder] is None and folder.parent != folder:
            known[folder] = _folder_label(folder.parent, known)
    return known[folder]


def _kept_rules(root: Path) -> dict[str, dict[str, Any]]:
    """What `keep_rules` wrote, by name."""
    kept = root / KEPT_RULES
    try:
        return json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    except (OSError, ValueError) as error:
        raise MigakiError(f"{str(kept)!r}, which says who may see the documents beside it, cannot be read: {error}") from error


def fingerprint(specs: list[str], kind: str) -> list[list[Any]]:
    """For each specification its format and the digest of every file that it reaches, by its name below what was named."""
    found = []
    for spec in specs:
        if kind == "documents":
            found.append([None, Path(spec).name, {file.name: file.digest() for file in find_documents([spec])}])
        else:
            path = existing(spec, kind)
            found.append([split_format(spec, kind)[0], path.name, {path.name: file_digest(path)} if path.is_file() else {}])
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
