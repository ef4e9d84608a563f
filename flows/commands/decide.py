"""`migaki promote` by a person: what waits for one, with what it rests on; their word on it; another release in the champion's place."""

import argparse
from dataclasses import asdict
from typing import Any

from flows.commands.show import console, fields_of, minute, number, promotion_line, table
from flows.running.approval import Shown, Waiting, decide, shown, waiting
from flows.running.releases import promote_to, roll_back
from storage.approvals import Answer
from storage.audit import system_user
from storage.home import Home
from tasks.errors import MigakiError

FIGURES = ("metric", "difference", "low", "high", "items", "smallest", "needed")
COLUMNS = ["decided by", "difference", "95 % interval", "items", "smallest difference they show", "items that the margin needs"]


def by_a_person(arguments: argparse.Namespace, home: Home) -> dict[str, Any] | None:
    """What the options of `migaki promote` for people came to; None where none was given, so that the gate decides.

    Raises:
        MigakiError, StorageError: nothing was changed; the message says why.
    """
    asked: list[tuple[Answer, str]] = [("approve", arguments.approve), ("refuse", arguments.refuse)]
    for what, named in asked:
        if named is not None:
            return _decided(home, named, what, arguments.why)
    if arguments.why is not None:
        raise MigakiError("--why TEXT goes with --approve ID or --refuse ID (`migaki promote --pending` lists what waits)")
    if arguments.pending is not None:
        return _described(shown(home, arguments.pending)) if arguments.pending else {"pending": pending_table(home)}
    if arguments.rollback or arguments.to is not None:
        return promotion_line(roll_back(home) if arguments.rollback else promote_to(home, arguments.to))
    return None


def pending_table(home: Home) -> list[dict[str, Any]]:
    """What waits for a person; the same for --json."""
    found = waiting(home)
    rows = [
        [
            one.pending.promotion_id[:8],
            one.pending.release_id[:12],
            one.pending.would,
            minute(one.pending.expires),
            one.against or "it can be approved",
        ]
        for one in found
    ]
    if rows:
        table("decisions that wait for a person", ["id", "release", "the gate alone", "until (UTC)", "as things are"], rows, ruled=True)
        console.print("migaki promote --pending ID shows one, --approve ID --why TEXT or --refuse ID --why TEXT decides", soft_wrap=True)
    else:
        console.print("no decision waits for a person")
    return [_facts(one) for one in found]


def _facts(one: Waiting) -> dict[str, Any]:
    names = ("promotion_id", "release_id", "champion_release_id", "evaluation_id", "index_id", "run_id", "would", "reason", "ts", "expires")
    return fields_of(one.pending, *names, *FIGURES) | {"against": one.against}


def _decided(home: Home, named: str, what: Answer, why: str | None) -> dict[str, Any]:
    evidence = _described(shown(home, named))
    if why is None:
        raise MigakiError(f"nothing was decided: read the above, and say why with `migaki promote --{what} {named} --why TEXT`")
    promotion = decide(home, named, what, system_user(), why)
    if what == "approve":
        return evidence | promotion_line(promotion)
    console.print(f"{promotion.decision}: the release {promotion.release_id[:12]} does not serve ({promotion.reason})")
    return evidence | {"decision": promotion.decision, "release": promotion.release_id, "reason": promotion.reason}


def _described(found: Shown) -> dict[str, Any]:
    """What a decision that waits rests on, as tables; the same for --json."""
    one = found.waiting.pending
    console.print(f"the release {one.release_id[:12]}, since {minute(one.ts)} UTC: {one.reason}", soft_wrap=True)
    if found.waiting.against:
        console.print(f"it cannot be approved: {found.waiting.against}", soft_wrap=True)
    interval = "" if one.low is None else f"{one.low:+.3f} to {one.high:+.3f}"
    table("the gate", COLUMNS, [[one.metric, number(one.difference), interval, one.items, number(one.smallest), one.needed]])
    rows = [
        [
            f"{pair.question}\n(to accept: {pair.accepted})" if pair.accepted else pair.question,
            f"[{pair.before.verdict}] {pair.before.answer}",
            f"[{pair.after.verdict}] {pair.after.answer}",
        ]
        for pair in found.conversations
    ]
    table(f"{len(rows)} questions, answered by the {found.role} and by the release", ["question", found.role, "release"], rows, ruled=True)
    return _facts(found.waiting) | {"held_against": found.role, "conversations": [asdict(pair) for pair in found.conversations]}
