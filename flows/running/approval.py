"""A person decides on a release that the gate left to them: what they are shown, and what becomes of their word."""

from dataclasses import dataclass

from flows.running.events import tell_of_decision
from flows.running.releases import fault
from storage.approvals import Answer, Pending, answer, expire, moved, pending, pending_named
from storage.audit import Who
from storage.home import Home
from storage.queries.evaluations import turns_of
from storage.releases import Promotion
from tasks.errors import MigakiError
from tasks.evaluation.approval import Beside, side_by_side

LONGEST = 2000  # characters of a reason


@dataclass(frozen=True)
class Waiting:
    """A decision that waits, and why it cannot be approved as things are: in words, and as a code for programs ("" where it can)."""

    pending: Pending
    against: str = ""
    code: str = ""


@dataclass(frozen=True)
class Shown:
    """What a person is shown before they decide; `role` is what the release is held against: champion or base."""

    waiting: Waiting
    role: str
    conversations: list[Beside]


def waiting(home: Home) -> list[Waiting]:
    """The decisions that wait, the latest first; those whose time is over are recorded as expired before."""
    expire(home)
    return [_waiting(home, one) for one in pending(home)]


def shown(home: Home, named: str) -> Shown:
    """The decision of this id, or on the release of this id. Raises what `pending_named` raises."""
    expire(home)
    one = pending_named(home, named)
    turns = turns_of(home, one.evaluation_id or "")
    role = "champion" if any(turn.model == "champion" for turn in turns) else "base"
    return Shown(_waiting(home, one), role, side_by_side(turns, role))


def decide(home: Home, named: str, what: Answer, who: Who, why: str) -> Promotion:
    """Approve of the release, which serves then, or refuse it.

    Raises:
        CannotDecide: nothing waits under this id, it was decided or expired, or, to approve, champion or index changed since.
        MigakiError: there is no reason, it is too long, or the release cannot serve.
    """
    why = why.strip()
    if not 0 < len(why) <= LONGEST:
        raise MigakiError(f"a reason has 1 to {LONGEST:,} characters, this one has {len(why):,}: say in words why")
    expire(home)
    one = pending_named(home, named)
    if what == "approve" and (wrong := fault(home, one.release_id, whole=True)):
        raise MigakiError(f"the release {one.release_id[:12]} cannot serve: {wrong}. Nothing was changed; `migaki retrain` makes it anew")
    decided = answer(home, one, what, who, why)
    tell_of_decision(home, decided)
    return decided


def _waiting(home: Home, one: Pending) -> Waiting:
    if changed := moved(home, one):
        return Waiting(one, str(changed), changed.code)
    wrong = fault(home, one.release_id)
    return Waiting(one, wrong, "cannot_serve" if wrong else "")
