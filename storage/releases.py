"""Which release serves, which ones did before, and how one takes the place of another: in one transaction, with the reason.

A model is the champion where the champion release names it. Indexes have a champion of their own (`storage.registry.champion_index`).
"""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime

import duckdb

from storage.audit import CLOCK, GATE, Who, note
from storage.catalog import Catalog, insert, select, utc_now
from storage.home import Home, StorageError

STAGE_AFTER = {
    "promote": "champion",
    "rollback": "champion",
    "keep": "rejected",
    "refuse": "rejected",
}  # by the decision; any other leaves a candidate
FIRST = "it served before there were releases"


@dataclass(frozen=True)
class KeptRelease:
    """A row of `releases`. Its stage is candidate, champion, archived or rejected; `artifact_id` is its model's, None where a server answers."""

    release_id: str
    stage: str
    artifact_id: str | None
    index_id: str | None  # the index that it was decided on with
    run_id: str | None
    created: datetime
    updated: datetime  # when a run last came to it, or it was decided on
    promoted: datetime | None  # when it was last made the champion


@dataclass(frozen=True)
class Promotion:
    """A row of `promotions`: what was decided on a release (promote, keep, inconclusive, rollback, pending, refuse, expired), and why. The difference of
    `metric` has its 95 % interval; it is of so many items, which can show one of `smallest`, and `needed` would show the margin. The ids of both models
    are filled in when it is recorded."""

    promotion_id: str
    release_id: str
    decision: str
    reason: str
    run_id: str | None = None
    champion_release_id: str | None = None  # that served when it was decided
    evaluation_id: str | None = None
    metric: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    items: int | None = None
    smallest: float | None = None
    needed: int | None = None
    model_id: str | None = None
    champion_id: str | None = None
    would: str | None = None  # what the gate alone says, where a person decides
    index_id: str | None = None  # of the evaluation, where a person decides
    expires: datetime | None = None  # until when they can, UTC


def champion_release(home: Home) -> KeptRelease | None:
    """The release that serves, or None before the first."""
    with Catalog.of(home).read() as connection:
        return serving_release(connection)


def newest_releases(home: Home, count: int, *, model: str | None = None) -> list[KeptRelease]:
    """Releases, the latest first; with `model`, those that name this artifact."""
    where = "WHERE coalesce(artifact_id, '') = coalesce(?, artifact_id, '')"
    return Catalog.of(home).select(KeptRelease, f"FROM releases {where} ORDER BY updated DESC, created DESC LIMIT ?", [model, count])


def last_promoted(home: Home, count: int) -> list[KeptRelease]:
    """The releases that were made the champion last, the one that serves first."""
    source = "FROM releases WHERE promoted IS NOT NULL ORDER BY stage = 'champion' DESC, promoted DESC LIMIT ?"
    return Catalog.of(home).select(KeptRelease, source, [count])


def release_named(home: Home, prefix: str) -> KeptRelease:
    """The release whose id is, or begins with, `prefix`.

    Raises:
        StorageError: none or several do.
    """
    found = Catalog.of(home).select(KeptRelease, "FROM releases WHERE starts_with(release_id, ?) ORDER BY release_id", [prefix])
    if len(found) == 1:
        return found[0]
    hint = "`migaki status` lists them"
    if not found and prefix:
        rows = Catalog.of(home).query("SELECT release_id FROM releases WHERE starts_with(artifact_id, ?)", [prefix])
        if rows:
            hint = f"it is a model's, which the release {rows[0]['release_id'][:12]} names"
    raise StorageError(f"{len(found)} releases have an id that begins with {prefix!r}: {hint}")


def before_champion(home: Home) -> str | None:
    """The release that served before the one that does now, or None: promotions in their order, each going back taken as undoing the last."""
    rows = Catalog.of(home).query(
        "SELECT decision, release_id FROM promotions WHERE decision IN ('promote', 'rollback') AND release_id IS NOT NULL ORDER BY ts"
    )
    served: list[str] = []
    for row in rows:
        if row["decision"] == "rollback":
            while served and served[-1] != row["release_id"]:
                served.pop()
        if not served or served[-1] != row["release_id"]:
            served.append(row["release_id"])
    return served[-2] if len(served) > 1 else None


def note_release(home: Home, release_id: str, run_id: str | None, index_id: str | None) -> None:
    """A run came to this release again, or for the first time, with this index."""
    with Catalog.of(home).write() as connection:
        connection.execute(
            "UPDATE releases SET run_id = coalesce(?, run_id), index_id = coalesce(?, index_id), updated = ? WHERE release_id = ?",
            [run_id, index_id, utc_now(), release_id],
        )


def crown_first(home: Home, release_id: str) -> None:
    """Make a release the champion that was made of the champion model of a home from before there were releases; nothing where one serves already."""
    with Catalog.of(home).write() as connection:
        if serving_release(connection) is not None:
            return
        connection.execute(
            """UPDATE releases SET stage = 'champion', promoted = coalesce((SELECT max(updated) FROM models WHERE stage = 'champion'), created)
               WHERE release_id = ?""",
            [release_id],
        )
        row = {"promotion_id": str(uuid.uuid4()), "release_id": release_id, "decision": "promote", "reason": FIRST, "ts": utc_now()}
        insert(connection, "promotions", [row])
        note(connection, CLOCK, "promote", release_id, FIRST)


def record_promotion(home: Home, promotion: Promotion, who: Who = GATE) -> None:
    """Write a decision and move the stages of the releases and models it names, in one transaction. Raises what `enter_promotion` raises."""
    with Catalog.of(home).write() as connection:
        enter_promotion(connection, promotion, who)


def enter_promotion(connection: duckdb.DuckDBPyConnection, promotion: Promotion, who: Who, *, action: str = "", why: str = "") -> None:
    """Write a decision, move the stages of the releases and models it names, and enter it into `audit`, in the transaction of the connection.

    The decisions `promote` and `rollback` make the release the champion and archive the former one, `keep` and `refuse` reject it, anything else
    (inconclusive, pending, expired) leaves it a candidate.

    Args:
        action: what `audit` calls it, where that is not the decision.
        why: what `audit` says, where that is not the reason.

    Raises:
        StorageError: the release is not there, or another champion serves by now than the one that the decision was made against.
    """
    found = select(connection, KeptRelease, "FROM releases WHERE release_id = ?", [promotion.release_id])
    if not found:
        raise StorageError(f"there is no release {promotion.release_id!r}; `migaki status` lists them")
    now, stage = serving_release(connection), STAGE_AFTER.get(promotion.decision, "candidate")
    serves = now.release_id if now else None
    if stage == "champion" and serves != promotion.champion_release_id:
        raise StorageError(
            f"another release was promoted meanwhile: {_short(serves)} serves, and this was decided against "
            f"{_short(promotion.champion_release_id)}. Look at `migaki status`, and promote again if it still shall"
        )
    models = {"model_id": found[0].artifact_id, "champion_id": now and now.artifact_id}
    insert(connection, "promotions", [asdict(promotion) | models | {"ts": utc_now()}])
    _move(connection, found[0], now, stage)
    detail = {"promotion": promotion.promotion_id, "run": promotion.run_id, "champion_before": serves}
    note(connection, who, action or promotion.decision, promotion.release_id, why or promotion.reason, detail)


def serving_release(connection: duckdb.DuckDBPyConnection) -> KeptRelease | None:
    rows = select(connection, KeptRelease, "FROM releases WHERE stage = 'champion' LIMIT 1")
    return rows[0] if rows else None


def _move(connection: duckdb.DuckDBPyConnection, release: KeptRelease, now: KeptRelease | None, stage: str) -> None:
    """The stages of releases, and of the models that they name. What serves is never rejected for a decision on something else that shares its model."""
    moment = utc_now()
    if now is not None and now.release_id != release.release_id and stage == "champion":
        connection.execute("UPDATE releases SET stage = 'archived' WHERE stage = 'champion'")
    if stage == "champion" or release.stage != "champion":
        connection.execute("UPDATE releases SET stage = ?, updated = ? WHERE release_id = ?", [stage, moment, release.release_id])
    if stage == "champion":
        connection.execute("UPDATE releases SET promoted = ? WHERE release_id = ?", [moment, release.release_id])
        connection.execute(
            "UPDATE models SET stage = 'archived', updated = ? WHERE stage = 'champion' AND model_id IS DISTINCT FROM ?",
            [moment, release.artifact_id],
        )
    if stage == "champion" or now is None or now.artifact_id != release.artifact_id:
        connection.execute("UPDATE models SET stage = ?, updated = ? WHERE model_id = ?", [stage, moment, release.artifact_id])


def _short(release_id: str | None) -> str:
    return f"the release {release_id[:12]}" if release_id else "none"
