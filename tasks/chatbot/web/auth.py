"""Who asks: tokens from a file, and the Host and Origin headers by which a browser gives away that another site sent it.

Beyond loopback nobody is served without a token. On loopback none is needed, but any page open in the same browser can send
requests there too: directly (then Origin names that page) or through a name that it points at 127.0.0.1 (then Host does).
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks.chatbot.web.errors import ApiError
from tasks.errors import MigakiError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SHORTEST_TOKEN = 16
HOST = re.compile(r"(\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(:\d+)?")
FORM = "token[:group,group][:name] on each line, # begins a comment"


@dataclass(frozen=True)
class User:
    """Somebody who may ask. `owner` names their conversations, `groups` are the access labels of the documents they may see."""

    owner: str = ""
    groups: frozenset[str] = frozenset()
    name: str = ""

    @property
    def salt(self) -> str:
        """Tells apart what may be remembered for whom: a person, and what they may see."""
        return "\0".join([self.owner, *sorted(self.groups)])


def _digest(token: str, purpose: str) -> str:
    return hashlib.sha256(f"migaki {purpose}\0{token}".encode()).hexdigest()


class Tokens:
    """The users of a token file. Only digests are held."""

    def __init__(self, users: Iterable[tuple[str, User]]):
        self._users = list(users)

    def __bool__(self) -> bool:
        return bool(self._users)

    def find(self, token: str) -> User | None:
        """The token's user. Every known token is compared, in constant time, so the time taken says nothing."""
        presented, owner = _digest(token, "token"), None
        for digest, user in self._users:
            if hmac.compare_digest(digest, presented):
                owner = user
        return owner


NO_TOKENS = Tokens([])


def read_tokens(path: Path) -> Tokens:
    """The tokens of a file.

    Raises:
        MigakiError: the file cannot be read or holds none, or a line has another form, a short token or one seen before.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MigakiError(f"the token file {str(path)!r} cannot be read: {error}; expected is {FORM}") from error
    users: dict[str, User] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        token, _, rest = (part.strip() for part in line.partition(":"))
        groups, _, name = (part.strip() for part in rest.partition(":"))
        digest = _digest(token, "token")
        if len(token) < SHORTEST_TOKEN or not token.isascii() or " " in token:
            raise MigakiError(
                f"line {number} of {str(path)!r}: a token is at least {SHORTEST_TOKEN} ASCII characters without spaces, such as "
                f"`openssl rand -hex 24` makes; this one has {len(token)}"
            )
        if digest in users:
            raise MigakiError(f"line {number} of {str(path)!r}: this token is there already; give every user one of their own")
        users[digest] = User(_digest(token, "owner")[:32], frozenset(g.strip() for g in groups.split(",") if g.strip()), name)
    if not users:
        raise MigakiError(f"the token file {str(path)!r} holds no token; expected is {FORM}")
    return Tokens(users.items())


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, tokens: Tokens) -> None:
    """Raises:
    MigakiError: the server would listen beyond loopback without tokens.
    """
    if not tokens and not is_loopback(host):
        raise MigakiError(
            f"--host {host} can be reached from other machines, so a token is needed: give --token-file FILE with {FORM}, or listen on 127.0.0.1"
        )


def hostname(host: str) -> str:
    """`localhost` of `localhost:8400`, `::1` of `[::1]:8400`; empty where the header is no host."""
    match = HOST.fullmatch(host.lower())
    return (match["six"] or match["name"]) if match else ""


def check_origin(headers: Mapping[str, str], allowed: Iterable[str]) -> None:
    """Refuse what another site made the browser send. `allowed` are host names; none allows every name.

    Raises:
        ApiError: 403, with what was expected.
    """
    host, origin, allowed = headers.get("host", ""), headers.get("origin"), tuple(allowed)
    if allowed and hostname(host) not in allowed:
        raise ApiError(
            403,
            "wrong_host",
            f"this server does not answer to the name {host!r}: ask for {' or '.join(allowed)}, or add it to serve.allowed_hosts",
        )
    if (
        origin is not None
        and urlsplit(origin).netloc != host
        and hostname(urlsplit(origin).netloc) not in (set(allowed) - set(LOOPBACK_NAMES))
    ):
        raise ApiError(403, "wrong_origin", f"a page of {origin!r} may not use this server; open the server's own page")
    if headers.get("sec-fetch-site", "none") == "cross-site":
        raise ApiError(403, "wrong_origin", "a page of another site may not use this server; open the server's own page")


def bearer(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer TOKEN`, empty where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
