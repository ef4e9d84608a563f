"""Where requests come from: the address listened on, and the headers by which a browser gives away that another site sent it.

Beyond loopback nobody is served without a token. On loopback none is needed, but any page open in the same browser can send
requests there too: directly (then Origin names that page) or through a name that it points at 127.0.0.1 (then Host does).
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.tokens import FORM, Tokens, User
from tasks.errors import MigakiError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
HOST = re.compile(r"(\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(:\d+)?")


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


def check_origin(headers: Mapping[str, str], allowed: Iterable[str], *, page: bool = False) -> None:
    """Refuse what another site made the browser send. `allowed` are host names; none allows every name.

    Args:
        page: whether a page is asked for, and nothing that a token opens: somebody may follow another site's link to it, such as Prefect's to a report.

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
    followed = page and headers.get("sec-fetch-dest") == "document"
    if headers.get("sec-fetch-site", "none") == "cross-site" and not followed:
        raise ApiError(403, "wrong_origin", "a page of another site may not use this server; open the server's own page")


def at_the_machine(headers: Mapping[str, str]) -> User:
    """Whose request it is where no token is needed: the machine's own person, an admin, unless a proxy says that it passes on what others ask."""
    direct = is_loopback(hostname(headers.get("host", ""))) and not any(name in headers for name in FORWARDED)
    return User(role="admin") if direct else User()


def bearer(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer TOKEN`, empty where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
