"""Rows of CSV and of JSON lines. A row that cannot be read is a `BadRow`, with its line and the reason: one broken line costs one row."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.documents.access import looks_like_label

SEPARATORS = ",;\t"  # the first wins where none parts the first line
SAID = re.compile(r'"?sep=([,;\t])"?')
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


def parse_json_lines(source: str, text: str) -> Iterator[Row | BadRow]:
    """The rows of JSON lines; `source` names the file."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if len(line) > MAX_LINE:
            yield BadRow(source, number, f"a line of {len(line):,} characters; at most {MAX_LINE:,} are accepted", line)
            continue
        try:
            value = json.loads(line, object_pairs_hook=object_of)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError, too many brackets are the other
            yield BadRow(source, number, f"broken JSON: {error}", line)
            continue
        yield (
            Row(source, number, value)
            if isinstance(value, dict)
            else BadRow(source, number, f"a JSON object was expected, this is a {type(value).__name__}", line)
        )


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        ValueError: it says twice who may see it; the last would win, whichever that is.
    """
    labels = [name for name, _ in pairs if looks_like_label(name)]
    if len(labels) > 1:
        raise ValueError(f"it says twice who may see it: {', '.join(map(repr, labels))}")
    return dict(pairs)


def parse_csv(source: str, text: str) -> Iterator[Row | BadRow]:
    """The rows of a CSV file, whose first line names the columns; the sign between the cells is the one that parts it into the most."""
    csv.field_size_limit(MAX_LINE)
    skipped, separator = _separator(text)
    text = "\n".join(text.split("\n")[skipped:]) if skipped else text
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(
                source,
                reader.line_num + skipped,
                f"broken CSV: {error}",
                "\n".join(text.split("\n")[reader.line_num - 1 : reader.line_num]),
            )
            continue
        labels = [name for name in reader.fieldnames or [] if looks_like_label(name)]
        if len(set(labels)) < len(labels):
            yield BadRow(
                source, reader.line_num + skipped, f"{len(labels)} columns say who may see it: {', '.join(labels)}", json.dumps(row)
            )
        elif None in row or None in row.values():
            cells = [cell for value in row.values() for cell in (value if isinstance(value, list) else [value])]
            yield BadRow(
                source,
                reader.line_num + skipped,
                f"{len(reader.fieldnames or [])} columns were expected",
                json.dumps(cells, ensure_ascii=False),
            )
        else:
            yield Row(source, reader.line_num + skipped, row)


def _separator(text: str) -> tuple[int, str]:
    """(lines before the names of the columns, separator). Excel writes semicolons where the comma is the decimal sign, tabs for "Unicode text",
    and may say which in a first line."""
    first = text[: MAX_LINE // 2].partition("\n")[0].rstrip("\r")
    if said := SAID.fullmatch(first):
        return 1, said[1]
    columns = {separator: len(next(csv.reader([first], delimiter=separator), [])) for separator in SEPARATORS}
    return 0, max(SEPARATORS, key=columns.__getitem__)
