"""The table `audit`: who did what, when and why. Nothing here, or anywhere else in the code, changes or removes a row of it.

An entry about something in the catalog is written in the transaction that does it, so neither is there without the other.
"""

import os
import pwd
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import duckdb

from storage.artifacts import canonical_json
from storage.catalog import JSON, Catalog, insert, select, utc_now
from storage.home import Home

Via = Literal["run", "command", "page", "server", "clock"]


@dataclass(frozen=True)
class Who:
    """Somebody or something that acts, and through what."""

    name: str
    via: Via


@dataclass(frozen=True)
class Entry:
    """A row of `audit`."""

    audit_id: str
    ts: datetime  # UTC
    who: str
    via: Via
    action: str
    subject: str  # id of what it was done to
    why: str
    detail: dict[str, Any] = field(metadata=JSON)


GATE = Who("the gate", "run")
CLOCK = Who("migaki", "clock")


def system_user(via: Via = "command") -> Who:
    """The operating system's user of this process. The environment, which anybody can set, is not asked."""
    number = os.getuid()
    try:
        return Who(pwd.getpwuid(number).pw_name, via)
    except KeyError:  # as in a container that runs under a number alone
        return Who(f"user {number}", via)


def note(
    connection: duckdb.DuckDBPyConnection, who: Who, action: str, subject: str, why: str = "", detail: Mapping[str, Any] | None = None
) -> None:
    """Add an entry, in the transaction of the connection."""
    row = {"audit_id": str(uuid.uuid4()), "ts": utc_now(), "who": who.name, "via": who.via, "action": action, "subject": subject}
    insert(connection, "audit", [row | {"why": why, "detail": canonical_json(detail or {})}])


def entries(home: Home, since: datetime | None = None) -> list[Entry]:
    """All entries from a time on (UTC), the latest first."""
    source = "FROM audit WHERE ts >= coalesce(?, ts) ORDER BY ts DESC, audit_id"
    return Catalog.of(home).select(Entry, source, [since])


def note_state(home: Home, who: Who, kind: str, subject: str, now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Add an entry for each thing that came, changed or went since the last entries of this kind about this subject.

    Args:
        kind: begins the actions, which are "KIND added", "KIND changed" and "KIND removed".
        subject: what the things are part of: a file, a platform.
        now: the things by name, each with what is told of it.

    Returns:
        The actions, one for each entry.
    """
    actions = (f"{kind} added", f"{kind} changed", f"{kind} removed")

    def differing(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, dict[str, Any]]]:
        source = "FROM audit WHERE subject = ? AND action IN (?, ?, ?) ORDER BY ts"
        last = {entry.detail["name"]: entry for entry in select(connection, Entry, source, [subject, *actions])}
        known = {name: entry.detail for name, entry in last.items() if entry.action != actions[2]}
        told = {name: {"name": name, **one} for name, one in now.items()}
        came = [(actions[0], one) for name, one in told.items() if name not in known]
        changed = [
            (actions[1], one | {"before": _plain(known[name])})
            for name, one in told.items()
            if name in known and _plain(known[name]) != one
        ]
        return [*came, *changed, *((actions[2], _plain(one)) for name, one in known.items() if name not in told)]

    with Catalog.of(home).read() as connection:
        if not differing(connection):  # as mostly: a write takes longer
            return []
    with Catalog.of(home).write() as connection:
        found = differing(connection)
        for action, detail in found:
            note(connection, who, action, subject, detail=detail)
    return [action for action, _ in found]


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if name != "before"}
