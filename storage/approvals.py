"""Decisions of the gate that wait for a person: which there are, and how one ends: approved, refused or expired.

One is a row of `promotions` with the decision `pending`. It waits until there is a later decision on the same release, whoever made it.
"""

import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

import duckdb

from storage.audit import CLOCK, Who
from storage.catalog import Catalog, select, utc_now
from storage.home import Home, StorageError
from storage.releases import Promotion, enter_promotion, serving_release

WAITING = """FROM promotions p WHERE decision = 'pending'
             AND NOT EXISTS (SELECT 1 FROM promotions later WHERE later.release_id = p.release_id AND later.ts > p.ts)"""
AGAIN = "`migaki evaluate` and `migaki promote` decide anew"
Answer = Literal["approve", "refuse"]


class CannotDecide(StorageError):
    """A person's decision that is refused. `code` is for programs: unknown, decided, expired, champion_changed or index_changed."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Pending(Promotion):
    """A decision that waits: `would` is what the gate alone says, `index_id` the index of its evaluation."""

    ts: datetime = datetime.min  # when the gate came to it; as `expires` in UTC


def pending(home: Home) -> list[Pending]:
    """The decisions that wait, the latest first, those included whose time is over and that nobody has looked at since."""
    return Catalog.of(home).select(Pending, f"{WAITING} ORDER BY ts DESC")


def pending_named(home: Home, prefix: str) -> Pending:
    """The decision that waits and whose id, or whose release's id, begins so.

    Raises:
        CannotDecide: there is none, or it was decided already.
        StorageError: there are several.
    """
    begins = "(starts_with(promotion_id, ?) OR starts_with(release_id, ?))"
    with Catalog.of(home).read() as connection:
        found = select(connection, Pending, f"{WAITING} AND {begins} ORDER BY ts DESC", [prefix, prefix])
        if not found or not prefix:
            raise _not_waiting(connection, prefix)
    if len(found) > 1:
        raise StorageError(f"{len(found)} decisions that wait begin with {prefix!r}: `migaki promote --pending` lists them")
    return found[0]


def moved(home: Home, one: Pending) -> CannotDecide | None:
    """Why a decision that waits cannot be approved as things are; None where it can."""
    with Catalog.of(home).read() as connection:
        return _moved(connection, one)


def expire(home: Home) -> list[Pending]:
    """Record the decisions whose time is over as expired. Returns them."""
    if not any(_over(one) for one in pending(home)):  # as mostly: a write takes longer
        return []
    with Catalog.of(home).write() as connection:
        over = [one for one in select(connection, Pending, WAITING) if _over(one)]
        for one in over:
            reason = f"nobody decided until {one.expires:%Y-%m-%d %H:%M} UTC: {AGAIN}"
            enter_promotion(connection, _following(one, "expired", reason), CLOCK)
    return over


def answer(home: Home, one: Pending, what: Answer, who: Who, why: str) -> Promotion:
    """Decide in somebody's name. Approving puts the release in the champion's place, as the gate does, in one transaction.

    Raises:
        CannotDecide: it was decided meanwhile, its time is over, or, to approve, another champion or index serves than it was evaluated with.
    """
    expire(home)
    with Catalog.of(home).write() as connection:
        if not select(connection, Pending, f"{WAITING} AND promotion_id = ?", [one.promotion_id]):
            raise _not_waiting(connection, one.promotion_id)
        if what == "approve" and (changed := _moved(connection, one)):
            raise changed
        done = ("promote", "approved") if what == "approve" else ("refuse", "refused")
        promotion = _following(one, done[0], f"{done[1]} by {who.name}: {why}")
        enter_promotion(connection, promotion, who, action=what, why=why)
    return promotion


def _over(one: Pending) -> bool:
    return one.expires is not None and one.expires <= utc_now()


def _following(one: Pending, decision: str, reason: str) -> Promotion:
    """The decision that ends one that waits, on the same evidence. It is nobody's run."""
    own = {"promotion_id": str(uuid.uuid4()), "decision": decision, "reason": reason, "run_id": None, "would": None, "expires": None}
    return Promotion(**{column.name: getattr(one, column.name) for column in fields(Promotion)} | own)


def _moved(connection: duckdb.DuckDBPyConnection, one: Pending) -> CannotDecide | None:
    now = serving_release(connection)
    serves = now.release_id if now else None
    if serves != one.champion_release_id:
        return CannotDecide(
            "champion_changed",
            f"the champion changed since: {_short('release', serves)} serves, and this was decided against "
            f"{_short('release', one.champion_release_id)}: {AGAIN}",
        )
    row = connection.execute("SELECT artifact_id FROM indexes WHERE stage = 'champion'").fetchone()
    if one.index_id and (index := row[0] if row else None) != one.index_id:
        return CannotDecide(
            "index_changed",
            f"another index serves than it was evaluated with: {_short('index', index)} serves, and this was evaluated with "
            f"{_short('index', one.index_id)}: {AGAIN}",
        )
    return None


def _not_waiting(connection: duckdb.DuckDBPyConnection, prefix: str) -> CannotDecide:
    """Why nothing waits under this id: it was decided, or there is nothing of that id."""
    begins = "decision = 'pending' AND (starts_with(promotion_id, ?) OR starts_with(release_id, ?))"
    source = f"FROM promotions WHERE {begins} ORDER BY ts DESC LIMIT 1"
    if not prefix or not (asked := select(connection, Pending, source, [prefix, prefix])):
        return CannotDecide(
            "unknown", f"no decision waits whose id, or whose release's id, begins with {prefix!r}: `migaki promote --pending` lists them"
        )
    source = "FROM promotions WHERE release_id = ? AND ts > ? ORDER BY ts LIMIT 1"
    (after,) = select(connection, Pending, source, [asked[0].release_id, asked[0].ts])
    when = f"{after.ts:%Y-%m-%d %H:%M} UTC"
    if after.decision == "expired":
        return CannotDecide("expired", f"the decision on the release {after.release_id[:12]} expired, recorded {when}: {after.reason}")
    return CannotDecide("decided", f"the release {after.release_id[:12]} was decided on already, {when}: {after.decision}: {after.reason}")


def _short(what: str, id: str | None) -> str:
    return f"the {what} {id[:12]}" if id else f"no {what}"
