"""What came of each file of rows: its format, what was kept, why the rest was not, what was done to rows, and which fields nothing has read."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Account:
    """Of one file: every row that was read is kept or dropped.

    Attributes:
        kind: the setting that names the file.
        formats: rows by the format that they were told to be.
        read: rows. What holds many of a kind (a SQuAD file) counts as so many.
        kept: rows by split, `train` or `eval`.
        dropped: rows by the reason why they are not used. A repeated row is dropped from the file in which it came later.
        notes: what was done to rows that are used.
        unread: fields with something in them that nothing reads, with the rows that have them.
        turns: of the assistant, in the instructions kept for training: what tune learns unless it is told to learn less.
    """

    name: str
    kind: str
    formats: Counter[str] = field(default_factory=Counter)
    read: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    turns: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {name: dict(getattr(self, name)) for name in ("formats", "kept", "dropped", "notes", "unread")}
        return {"name": self.name, "kind": self.kind, "read": self.read, "turns": self.turns} | counts


COLUMNS = ("file", "read as", "rows", "kept", "dropped", "unread", "turns")
NUMBERS = ("rows", "kept", "turns")
LONGEST = 8  # lines of a cell: a spreadsheet may have hundreds of columns that nothing reads


def table(files: Iterable[dict[str, Any]]) -> list[list[str]]:
    """The cells of `COLUMNS` for each file, of what `Account.as_dict` gives; reasons and fields a line each. `turns` are those that are learnt."""
    rows = []
    for file in files:
        read_as = [file["kind"], *(_counts(file["formats"]) if len(file["formats"]) > 1 else file["formats"])]
        turns = str(file["turns"]) if file["kind"] == "instructions" else ""
        cells = [
            read_as,
            [str(file["read"])],
            [str(sum(file["kept"].values()))],
            _counts(file["dropped"]),
            _counts(file["unread"]),
            [turns],
        ]
        rows.append([file["name"], *("\n".join(cell) for cell in cells)])
    return rows


def notes(files: Iterable[dict[str, Any]]) -> Iterator[str]:
    """What was done to rows that are used: a line for each file of which there is something to say."""
    for file in files:
        if file["notes"]:
            yield f"{file['name']}: " + "; ".join(f"{count} rows: {note}" for note, count in sorted(file["notes"].items()))


def _counts(counts: dict[str, int]) -> list[str]:
    """The most frequent first, up to `LONGEST`."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    more = [f"and {len(ordered) - LONGEST} more"] if len(ordered) > LONGEST else []
    return [f"{count} {name}" for name, count in ordered[:LONGEST]] + more


def lines(accounts: Iterable[Account], names: bool) -> Iterator[str]:
    """What there is to say of files beyond that all went well: a line each. With `names` their names are said."""
    for number, account in enumerate(accounts, 1):
        said = [f"{count} {reason}" for reason, count in sorted((account.dropped + account.notes).items())]
        if account.unread:
            fields = ", ".join(f"{name} ({count})" for name, count in account.unread.most_common())
            said.append(f"nothing reads the fields {fields}")
        if said:
            which = account.name if names else f"file {number}"
            yield f"{which} ({account.kind}: {', '.join(account.formats) or 'no format'}), {account.read} rows: {'; '.join(said)}"
