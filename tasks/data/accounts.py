"""What came of each file of rows: its format, what was kept, what was done to rows, and which fields nothing has read."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Account:
    """Of one file. `left_out` counts by reason what was right and is not used, `notes` what was done to rows, `unread` fields with something in them."""

    name: str
    kind: str
    formats: Counter[str] = field(default_factory=Counter)
    read: int = 0
    malformed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {name: dict(getattr(self, name)) for name in ("formats", "left_out", "notes", "unread")}
        return {"name": self.name, "kind": self.kind, "read": self.read, "malformed": self.malformed} | counts


def lines(accounts: Iterable[Account], names: bool) -> Iterator[str]:
    """What there is to say of files beyond that all went well: a line each. With `names` their names are said."""
    for number, account in enumerate(accounts, 1):
        said = [f"{count} {reason}" for reason, count in sorted((account.left_out + account.notes).items())]
        if account.malformed:
            said.insert(0, f"{account.malformed} malformed")
        if account.unread:
            fields = ", ".join(f"{name} ({count})" for name, count in account.unread.most_common())
            said.append(f"nothing reads the fields {fields}")
        if said:
            which = account.name if names else f"file {number}"
            yield f"{which} ({account.kind}: {', '.join(account.formats) or 'no format'}), {account.read} rows: {'; '.join(said)}"
