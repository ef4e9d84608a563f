"""Prefect's server behind a door: it answers to the names of this machine alone, and to no page but its own.

A browser takes anybody's page to a port of this machine. The secret keeps such pages from the API; the door keeps them from all else, before
Prefect has read a byte: a page of another address (Origin, Sec-Fetch-Site), and one whose own name was made to mean 127.0.0.1 (Host).
"""

from httpx import AsyncHTTPTransport
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.running.imports import without_collections

NAMES = ("127.0.0.1", "localhost", "[::1]")
# The page keeps the secret in the browser's storage: no script but its own, and nothing fetched from, sent to or framed by anybody else.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)


def app() -> ASGIApp:
    """What uvicorn serves; Prefect reads its settings from the environment."""
    with without_collections():
        from prefect.blocks import webhook
        from prefect.server.api.server import create_app

    webhook._http_transport = LeftOpen()
    return Door(create_app())


class LeftOpen(AsyncHTTPTransport):
    """What all of Prefect's webhooks share. Each closes it when it is done (Prefect 3.8.8), and another that is under way would come to nothing."""

    async def __aexit__(self, *_: object) -> None:
        """Leave it open: idle connections end by themselves after seconds."""


class Door:
    """Lets in what came to this machine by one of its own names and port, from its own page or from no page; to others it says why not."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if (refusal := refused(scope)) is None:
            return await self.app(scope, receive, guarded(send))
        if scope["type"] == "websocket":  # refused before it is accepted: the client reads 403
            return await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        await JSONResponse({"detail": refusal}, status_code=403)(scope, receive, send)


def refused(scope: Scope) -> str | None:
    """Why this request is not let in; None for one that is."""
    headers, port = Headers(scope=scope), scope["server"][1]
    hosts = headers.getlist("host")
    if len(hosts) != 1 or hosts[0].lower() not in addresses(port):
        named = ", ".join(hosts)[:100]
        return f"Host {named!r} is not this server, which answers to {', '.join(f'{name}:{port}' for name in NAMES)}"
    origins = headers.getlist("origin")
    if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
        return f"Origin {', '.join(origins)[:100]!r} is not this server's own page"
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return None
    # Somebody may follow a link to the page, as a page of its own.
    followed = scope["type"] == "http" and scope["method"] == "GET" and headers.get("sec-fetch-dest") == "document"
    return None if followed else "the request comes from a page of another address (Sec-Fetch-Site)"


def addresses(port: int) -> set[str]:
    """What a Host header may say; browsers leave out the port of http."""
    return {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())


def guarded(send: Send) -> Send:
    """`send` with the headers that keep the page to itself."""

    async def with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
        await send(message)

    return with_policy
