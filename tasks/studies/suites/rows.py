"""Rows of a benchmark's file with the line on which each begins: JSON Lines, one JSON document, or a table (CSV, TSV)."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from tasks.errors import MigakiError

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")
LIST = re.compile(r'\s*\[|\s*\{.*?"(?:examples|data)"\s*:\s*\[', re.DOTALL)  # up to where the rows of a JSON document begin
BETWEEN = re.compile(r"[\s,]*")
CELLS = "cells"  # the one field of a row of a table that has no header


@dataclass(frozen=True)
class Row:
    """What stands on a line of a file, by field."""

    path: Path
    line: int
    fields: Mapping[str, Any]

    def broken(self, field: str, accepted: str) -> MigakiError:
        """The message for a field that is not as it must be."""
        found = f"is {shortened(self.fields[field])}" if field in self.fields else "is missing"
        return MigakiError(f"{self.path}, line {self.line}: {field} {found}; accepted is {accepted}")

    def text(self, field: str) -> str:
        """A field that must be text.

        Raises:
            MigakiError: it is missing, no text, or empty.
        """
        value = self.fields.get(field)
        if not isinstance(value, str) or not value.strip():
            raise self.broken(field, "a text that is not empty")
        return value.strip()


def shortened(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def read_rows(path: Path) -> list[Row]:
    """All rows of a file.

    Raises:
        MigakiError: it cannot be read, is of another format, holds a line that is none, or no row at all.
    """
    if path.suffix not in SUFFIXES:
        raise MigakiError(f"{path}: a benchmark's file ends in one of {', '.join(SUFFIXES)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MigakiError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MigakiError(f"{path}: byte {error.start} is no UTF-8; a benchmark's file is UTF-8") from error
    read = {".json": _document, ".jsonl": _lines, ".csv": _table, ".tsv": _table}[path.suffix]
    rows = list(read(path, text))
    if not rows:
        raise MigakiError(f"{path}: there are no rows in it")
    return rows


def _row(path: Path, line: int, value: object) -> Row:
    if not isinstance(value, dict):
        raise MigakiError(f"{path}, line {line}: {shortened(value)}; accepted is a JSON object, one for each question")
    return Row(path, line, value)


def _lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError as error:
                raise MigakiError(f"{path}, line {number}: {error}; accepted is one JSON object on each line") from error
            yield _row(path, number, value)


def _document(path: Path, text: str) -> Iterator[Row]:
    """A list of objects, or an object with such a list as `examples` or `data`."""
    found = LIST.match(text)
    if found is None:
        raise MigakiError(f'{path}: accepted is a list of JSON objects, or an object that has it as "examples" or "data"')
    decoder, at, line, counted = json.JSONDecoder(), found.end(), 1, 0
    while True:
        between = BETWEEN.match(text, at)
        at = between.end() if between else at
        line, counted = line + text.count("\n", counted, at), at
        if text[at : at + 1] == "]":
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError as error:
            raise MigakiError(f"{path}, line {getattr(error, 'lineno', line)}: {error}; accepted is a list of JSON objects") from error
        yield _row(path, line, value)


def _table(path: Path, text: str) -> Iterator[Row]:
    """Rows by header where the first line names the fields (one of them `question`, in whatever case), else by place."""
    reader = csv.reader(StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    header: list[str] | None = None
    line = 1
    for cells in reader:
        began, line = line, reader.line_num + 1
        if began == 1 and "question" in [cell.strip().lower() for cell in cells]:
            header = [
                cell if len(cell) == 1 or "Body" in cells else cell.lower() for cell in map(str.strip, cells)
            ]  # A to D, and SVAMP's, are capitals
        elif cells:
            yield Row(path, began, dict(zip(header, cells, strict=False)) if header else {CELLS: cells})
