"""`migaki audit`: who did what, when and why."""

import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flows.commands.show import console, minute, table
from storage.audit import Entry, entries
from storage.home import Home
from tasks.errors import MigakiError


def audit(home: Home, since: str | None) -> dict[str, Any]:
    """The entries from a day or time on, the latest first, as a table and as JSON.

    Raises:
        MigakiError: `since` is no date.
    """
    found = entries(home, _time(since) if since is not None else None)
    rows = [[minute(one.ts), one.who, one.via, one.action, _short(one.subject), one.why or _detail(one)] for one in found]
    if rows:
        table("audit", ["when (UTC)", "who", "via", "action", "of", "why, or what"], rows)
    console.print(f"{len(found)} entries{f' since {since}' if since else ''}")
    return {"entries": [asdict(one) for one in found]}


def _short(value: object) -> str:
    """Ids and hashes are as long as other tables show them, names and paths whole."""
    text = str(value)
    return text[:12] if re.fullmatch("[0-9a-f-]{32,}", text) else text


def _detail(one: Entry) -> str:
    return ", ".join(f"{name}: {_short(value)}" for name, value in one.detail.items() if name != "before")


def _time(text: str) -> datetime:
    """A time in UTC without a zone; one that names none is taken as UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise MigakiError(f"--since {text!r} is no date: accepted are 2026-11-30, 2026-11-30T09:00 and 2026-11-30T09:00+09:00") from error
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
