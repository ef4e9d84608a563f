"""Rows of a benchmark's file with the line on which each begins: JSON Lines, one JSON document, or a table (CSV, TSV)."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from tasks.errors import MigakiError

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")
LIST = re.compile(r'\s*\[|\s*\{.*?"(?:examples|data)"\s*:\s*\[', re.DOTALL)  # up to where the rows of a JSON document begin
BETWEEN = re.compile(r"[\s,]*")
CELLS = "cells"  # the one field of a row of a table that has no header
LABEL = "label"  # of what a file beside has, PIQA's


@dataclass(frozen=True)
class Row:
    """What begins on a line of a file, by field; of several rows on one line, the `nth`."""

    path: Path
    line: int
    fields: Mapping[str, Any]
    nth: int = 1

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{self.path}, line {self.line}" + (f", object {self.nth}" if self.nth > 1 else "")

    @property
    def id(self) -> str:
        """Unique among the files of a suite."""
        return f"{self.path.stem}:{self.line}" + (f".{self.nth}" if self.nth > 1 else "")

    def part(self, fields: Mapping[str, Any]) -> "Row":
        """Other fields, or those inside of one, of the same place."""
        return replace(self, fields=fields)

    def broken(self, field: str, accepted: str) -> MigakiError:
        """The message for a field that is not as it must be."""
        found = f"is {shortened(self.fields[field])}" if field in self.fields else "is missing"
        return MigakiError(f"{self.place}: {field} {found}; accepted is {accepted}")

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
        line = error.object.count(b"\n", 0, error.start) + 1
        raise MigakiError(f"{path}, line {line}: byte {error.start} is no UTF-8; a benchmark's file is UTF-8") from error
    read = {".json": _document, ".jsonl": _lines, ".csv": _table, ".tsv": _table}[path.suffix]
    rows = list(read(path, text))
    if not rows:
        raise MigakiError(f"{path}: there are no rows in it")
    return _labelled(rows, labels_of(path)) if LABEL not in rows[0].fields and labels_of(path).is_file() else rows


def labels_of(path: Path) -> Path:
    """Where PIQA's authors have the labels of a file whose rows have none: valid-labels.lst beside valid.jsonl."""
    return path.with_name(f"{path.stem}-labels.lst")


def with_labels(path: Path) -> list[Path]:
    """A file, and that of its labels where there is one."""
    return [path, *(labels for labels in (labels_of(path),) if labels.is_file())]


def _labelled(rows: list[Row], file: Path) -> list[Row]:
    labels = file.read_text(encoding="utf-8-sig", errors="replace").split()
    if len(labels) != len(rows):
        raise MigakiError(f"{file}: {len(labels)} labels; accepted is one for each of the {len(rows)} rows of {rows[0].path.name}")
    return [row.part({**row.fields, LABEL: label}) for row, label in zip(rows, labels, strict=True)]


def _row(path: Path, line: int, value: object, nth: int = 1) -> Row:
    row = Row(path, line, value if isinstance(value, dict) else {}, nth)
    if not isinstance(value, dict):
        raise MigakiError(f"{row.place}: {shortened(value)}; accepted is a JSON object, one for each question")
    return row


def _lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise MigakiError(f"{path}, line {number}: {error}; accepted is one JSON object on each line") from error
            yield _row(path, number, value)


def _document(path: Path, text: str) -> Iterator[Row]:
    """A list of objects, or an object with such a list as `examples` or `data`."""
    found = LIST.match(text)
    if found is None:
        raise MigakiError(
            f'{path}: accepted is a list of JSON objects, or an object that has it as "examples" or "data"; a file of one object on each line ends in .jsonl'
        )
    decoder, at, line, counted, nth = json.JSONDecoder(), found.end(), 1, 0, 0
    while True:
        between = BETWEEN.match(text, at)
        at = between.end() if between else at
        begun, counted = line + text.count("\n", counted, at), at
        line, nth = begun, nth + 1 if begun == line else 1
        if text[at : at + 1] == "]":
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise MigakiError(f"{path}, line {getattr(error, 'lineno', line)}: {error}; accepted is a list of JSON objects") from error
        yield _row(path, line, value, nth)


def _table(path: Path, text: str) -> Iterator[Row]:
    """Rows by header where the first line names the fields (one of them `question`, whatever the case), else by place."""
    header: list[str] = []
    for began, cells in _cells(path, text):
        if began == 1 and "question" in (names := [cell.strip().lower() for cell in cells]):
            header = [name.capitalize() for name in names] if "body" in names else names  # SVAMP's are capitals in JSON too
        elif header and len(cells) != len(header):
            raise MigakiError(f"{path}, line {began}: {len(cells)} cells; accepted are {len(header)}: {', '.join(header)}")
        else:
            yield Row(path, began, dict(zip(header, cells, strict=True)) if header else {CELLS: cells})


def _cells(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """The lines of a table that are not empty, by where they begin. What is separated by tabs may be written without quotation marks for cells, as MGSM
    is: there a mark is text."""
    tabs = path.suffix == ".tsv"
    reader = csv.reader(StringIO(text, newline=""), delimiter="\t" if tabs else ",", strict=True)
    found, line = list[tuple[int, list[str]]](), 1
    try:
        for cells in reader:
            if cells:
                found.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        if tabs:
            return [(number, one.split("\t")) for number, one in enumerate(text.splitlines(), 1) if one.strip()]
        raise MigakiError(f"{path}, line {line}: {error}; accepted is a table whose cells end where their quotation marks do") from error
    return found
