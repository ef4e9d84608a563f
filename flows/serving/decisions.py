"""What a server keeps in the catalog beside chats: decisions of administrators, and whom its token file lets in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from flows.running.approval import Waiting, decide, shown, waiting
from storage.approvals import CannotDecide
from storage.audit import Who, note_state, system_user
from storage.chat_log import CANNOT_WRITE
from storage.home import Home, StorageError
from tasks.chatbot.web.approvals import NotDecided, What
from tasks.chatbot.web.tokens import TokenFile, User
from tasks.errors import MigakiError


def person(user: User) -> Who:
    """In whose name somebody acts on the page: the token's, or where none is needed, that of the system's user."""
    if not user.owner:
        return system_user("page")
    token = f"token {user.owner[:8]}"
    return Who(f"{user.name} ({token})" if user.name else token, "page")


class KeptApprovals:
    """Decisions in the catalog, as `tasks.chatbot.web.approvals.Approvals` wants them."""

    def __init__(self, home: Home):
        self.home = home

    def waiting(self) -> list[dict[str, Any]]:
        return [_as_shown(one) for one in waiting(self.home)]

    def conversations(self, id: str) -> dict[str, Any]:
        with _as_the_page_expects():
            found = shown(self.home, id)
        return {"held_against": found.role, "conversations": [asdict(one) for one in found.conversations]}

    def decide(self, id: str, what: What, user: User, why: str) -> None:
        with _as_the_page_expects():
            decide(self.home, id, what, person(user), why)


@contextmanager
def _as_the_page_expects() -> Iterator[None]:
    try:
        yield
    except CannotDecide as error:
        raise NotDecided(error.code, str(error)) from error
    except (MigakiError, StorageError) as error:
        raise NotDecided("cannot_serve", str(error)) from error


def _as_shown(one: Waiting) -> dict[str, Any]:
    row = one.pending
    figures = {
        name: getattr(row, name) for name in ("would", "reason", "metric", "difference", "low", "high", "items", "smallest", "needed")
    }
    times = {"since": row.ts.isoformat(), "until": row.expires.isoformat() if row.expires else ""}
    return figures | times | {"id": row.promotion_id, "release": row.release_id, "against": one.code, "against_why": one.against}


def note_tokens(home: Home, say: Callable[[str], object], file: TokenFile) -> None:
    """Enter into `audit` whom the token file lets in that it did not when it was read last, and whom it does not any more. They are named as the catalog
    names the owners of conversations, from which no token can be had. Where the catalog cannot be written that is said, and the next change tries again.
    """
    users = {user.owner: {"holder": user.name, "role": user.role, "groups": sorted(user.groups)} for user in file.tokens.users}
    try:
        note_state(home, system_user("server"), "token", str(file.path), users)
    except CANNOT_WRITE as error:
        say(f"the tokens of {str(file.path)!r} cannot be entered into the table audit for now: {error}")
