"""Tables to documents: each row of a csv or jsonl file, or of a table of the catalog, is one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.documents.access import LABEL, groups_of, key_of, label_in, looks_like_label, settle
from tasks.documents.markup import parse_text
from tasks.documents.parsed import Parsed, Unreadable
from tasks.errors import MigakiError

ROLES = ("text", "title", "id", LABEL)
Document = tuple[str, "Parsed | Unreadable"]


@dataclass(frozen=True)
class Columns:
    """Which column holds what. A role that is not named goes to the column of its own name, where there is one."""

    named: Mapping[str, str]

    @classmethod
    def of(cls, spec: str) -> "Columns":
        """From "text=answer,title=question".

        Raises:
            MigakiError: another form, an unknown role, or one named twice.
        """
        named: dict[str, str] = {}
        for part in filter(None, spec.split(",")):
            role, equals, column = (piece.strip() for piece in part.partition("="))
            if not equals or not column or role not in ROLES or role in named:
                raise MigakiError(f"{part!r} in #{spec} says no column; write role=column, each of {', '.join(ROLES)} at most once")
            named[role] = column
        return cls(named)

    def __getitem__(self, role: str) -> str:
        return self.named.get(role, role)


def row_documents(
    name: str, rows: Iterable[Mapping[str, Any] | Unreadable], columns: Columns, folder: tuple[str, ...] = ()
) -> Iterator[Document]:
    """("name#id", document) of each row, "name#7" without an id. Columns without a role become `meta`.

    A row that is `Unreadable` already, has no text, or has a label that cannot be understood is `Unreadable` for itself.
    `folder` is the label that holds for rows without one.
    """
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        key = _key(row, columns, number)
        while key in seen:
            key = f"{key}.{number}"
        seen.add(key)
        try:
            if isinstance(row, Unreadable):
                raise row
            yield f"{name}#{key}", _document(row, columns, folder)
        except Unreadable as reason:
            yield f"{name}#{key}", reason


def _key(row: Mapping[str, Any] | Unreadable, columns: Columns, number: int) -> str:
    value = None if isinstance(row, Unreadable) else row.get(columns["id"])
    return str(number) if value is None or not str(value).strip() else str(value).strip()


def _document(row: Mapping[str, Any], columns: Columns, folder: tuple[str, ...]) -> Parsed:
    missing = [column for role, column in (("text", columns["text"]), *columns.named.items()) if column not in row and role != "id"]
    if missing:
        raise Unreadable(f"it has no column {missing[0]!r}, only {', '.join(map(str, row))}; say which holds what, as in FILE#text=COLUMN")
    text = row[columns["text"]]
    if not isinstance(text, str) or not text.strip():
        raise Unreadable(f"its column {columns['text']!r} holds no text: {text!r}")
    parsed = parse_text(text)
    title = row.get(columns["title"])
    parsed.title = "" if title is None else " ".join(str(title).split())
    parsed.allowed = settle(_label(row, columns), folder)
    used = {columns[role] for role in ROLES}
    parsed.meta = {
        str(name): str(value) for name, value in row.items() if name not in used and key_of(name) != LABEL and value not in (None, "")
    }
    return parsed


def _label(row: Mapping[str, Any], columns: Columns) -> tuple[str, ...]:
    """The groups in the column that was named for it, or else in the one of its own name, in any case.

    Raises:
        Unreadable: it cannot be understood, or another column looks as if it said who may see the row.
    """
    if LABEL in columns.named:
        return groups_of(row[columns[LABEL]], f"its column {columns[LABEL]!r}")
    try:
        return label_in(row, "the row")
    except Unreadable as reason:
        labels = [name for name in row if looks_like_label(name)]
        hint = f" (name the column that holds it, as in #{LABEL}={labels[0]})" if labels else ""
        raise Unreadable(f"{reason}{hint}") from reason
