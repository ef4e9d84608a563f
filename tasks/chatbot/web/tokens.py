"""Who may ask: the tokens of a file, which is read again whenever it changes, so that a token taken out of it soon opens nothing."""

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.chatbot.web.errors import ApiError
from tasks.errors import MigakiError

ROLES = ("reader", "editor", "admin")  # each may do what those before it may; editors change documents
SHORTEST_TOKEN = 16
FORM = "token[:group,group][:name[:role]] on each line, # begins a comment"
SETTLED = 0.2  # seconds without a change after which a file counts as written; an empty one between two writes is none
LOOKS = 5  # at most so often, for a file that never rests


@dataclass(frozen=True)
class User:
    """Somebody who may ask. `owner` names their conversations, `groups` are the access labels of the documents they may see, and `role`,
    of `ROLES`, says what they may change. No group gives a role, and no role a document.
    """

    owner: str = ""
    groups: frozenset[str] = frozenset()
    name: str = ""
    role: str = ROLES[0]

    @property
    def salt(self) -> str:
        """Tells apart what may be remembered for whom: a person, and what they may see."""
        return "\0".join([self.owner, *sorted(self.groups)])


Users = Mapping[str, User]  # by digest of the token


def _digest(token: str, purpose: str) -> str:
    return hashlib.sha256(f"migaki {purpose}\0{token}".encode()).hexdigest()


def withdrawn() -> ApiError:
    return ApiError(401, "invalid_token", "this token is not valid any more; whoever runs this server can give another")


class Tokens:
    """The users of a token file, of which only digests are held, and what is being done for each, which ends with their token.

    Whether a token is needed at all is settled by those it begins with: a file emptied later lets nobody in, rather than everybody.
    """

    def __init__(self, users: Users):
        self._users, self._needed = users, bool(users)
        self._held: dict[object, tuple[str, asyncio.AbstractEventLoop, Callable[[], object]]] = {}

    def __bool__(self) -> bool:
        return self._needed

    def __len__(self) -> int:
        return len(self._users)

    @property
    def users(self) -> list[User]:
        """Whom they let in now."""
        return list(self._users.values())

    def find(self, token: str) -> User | None:
        """The token's user. Every known token is compared, in constant time, so the time taken says nothing."""
        presented, owner = _digest(token, "token"), None
        for digest, user in self._users.items():
            if hmac.compare_digest(digest, presented):
                owner = user
        return owner

    @contextmanager
    def held(self, owner: str, taken_back: Callable[[], object]) -> Iterator[None]:
        """Call `taken_back`, on the running loop, if the owner's token is taken back while the block lasts. For use on a loop.

        Raises:
            ApiError: 401, it has been taken back already.
        """
        if not owner:
            yield
            return
        key = object()
        self._held[key] = owner, asyncio.get_running_loop(), taken_back  # before the look, or a change in between would be missed
        try:
            if owner not in _owners(self._users):
                raise withdrawn()
            yield
        finally:
            del self._held[key]

    def replace(self, users: Users) -> int:
        """Other users from now on; what is being done for those who are gone is ended. Returns how many are gone. From any thread."""
        gone = _owners(self._users) - _owners(users)
        self._users = users
        for key, (owner, loop, _) in self._held.copy().items():
            if owner in gone:
                with suppress(RuntimeError):  # of a loop that was closed, because the server is gone
                    loop.call_soon_threadsafe(self._take_back, key)
        return len(gone)

    def keep(self, users: Users, standing: set[str]) -> int:
        """Of today's users only those of the digests `standing`, and of these no more than `users` say, where they say something. As `replace`."""
        return self.replace({digest: _narrowed(old, users.get(digest, old)) for digest, old in self._users.items() if digest in standing})

    def _take_back(self, key: object) -> None:
        if key in self._held:
            self._held[key][2]()


NO_TOKENS = Tokens({})


def _owners(users: Users) -> set[str]:
    return {user.owner for user in users.values()}


def _narrowed(old: User, new: User) -> User:
    return replace(old, groups=old.groups & new.groups, role=min(old.role, new.role, key=ROLES.index))


def _content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _user(line: str) -> tuple[str, User]:
    """(digest of the token, user) of a line. Raises MigakiError with what is wrong."""
    token, *rest = (part.strip() for part in line.split(":"))
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise MigakiError(
            f"a token is at least {SHORTEST_TOKEN} ASCII characters without spaces, such as `openssl rand -hex 24` makes; "
            f"this one has {len(token)}"
        )
    if len(rest) > 3:
        raise MigakiError(f"there are {len(rest)} colons, and at most 3 are understood: {FORM}; no part may hold a colon")
    groups, name, role = [*rest, "", "", ""][:3]
    if "：" in groups:
        raise MigakiError(f"{groups!r} are no groups' names: between the parts stands an ASCII colon (:), not a full-width one")
    if role and role not in ROLES:
        raise MigakiError(f"{role!r} is no role; accepted are {', '.join(ROLES)} (none is {ROLES[0]})")
    named = frozenset(group.strip() for group in re.split("[,、]", groups) if group.strip())
    return _digest(token, "token"), User(_digest(token, "owner")[:32], named, name, role or ROLES[0])


def _users_of(path: Path, content: bytes) -> dict[str, User]:
    users: dict[str, User] = {}
    for number, line in enumerate(content.decode("utf-8-sig").splitlines(), 1):
        if not _content(line):
            continue
        try:
            digest, user = _user(line)
            if digest in users:
                raise MigakiError("this token is there already; give every user one of their own")
        except MigakiError as error:
            raise MigakiError(f"line {number} of {str(path)!r}: {error}") from error
        users[digest] = user
    if not users:
        raise MigakiError(f"the token file {str(path)!r} holds no token; expected is {FORM}")
    return users


def _what_stands(content: bytes) -> tuple[dict[str, User], set[str]]:
    """Of a file with something wrong in it: the users of the lines that can be read, and the digests of all first fields."""
    users: dict[str, User] = {}
    standing: set[str] = set()
    for line in content.decode("utf-8-sig", errors="replace").splitlines():
        if _content(line):
            standing.add(_digest(line.partition(":")[0].strip(), "token"))
            with suppress(MigakiError):
                digest, user = _user(line)
                users[digest] = _narrowed(users.get(digest, user), user)
    return users, standing


class TokenFile:
    """A token file, and the tokens in it.

    Raises:
        MigakiError: the file cannot be read or holds no token, or a line has another form, another role, a short token or one seen before.
    """

    def __init__(self, path: Path):
        self.path = path.absolute()
        self._seen = self._state()
        try:
            self.tokens = Tokens(_users_of(path, path.read_bytes()))
        except (OSError, UnicodeDecodeError) as error:
            raise MigakiError(f"the token file {str(path)!r} cannot be read: {error}; expected is {FORM}") from error

    def look(self) -> str:
        """Read the file again if it changed since the last look; what is told of that, empty where it did not.

        A file with something wrong in it lets nobody in anew. Tokens that still begin one of its lines go on working, with no more than
        they had; when it is gone or empty, none does.
        """
        if (state := self._state()) == self._seen:
            return ""
        for _ in range(LOOKS):
            time.sleep(SETTLED)
            before, state = state, self._state()
            if state == before:
                break
        self._seen = state
        content = b""
        try:
            content = self.path.read_bytes()
            gone = self.tokens.replace(_users_of(self.path, content))
        except (OSError, UnicodeDecodeError, MigakiError) as error:
            gone = self.tokens.keep(*_what_stands(content))
            why = str(error) if isinstance(error, MigakiError) else f"the token file {str(self.path)!r} cannot be read: {error}"
            return f"{why}; until that is mended, {len(self.tokens)} tokens go on working, and {gone} do not any more"
        return f"token file {str(self.path)!r} read again: {len(self.tokens)} tokens, {gone} taken back"

    def _state(self) -> tuple[int, ...] | None:
        """What changes with every write and every replacement: ctime too, because programs can set mtime back. None where there is no file."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
