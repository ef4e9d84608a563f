"""What every request passes first: security headers, the right host and origin, a known user, a rate, a body of bounded size.

Plain ASGI: a streaming answer is never buffered here, and a client that leaves is noticed at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.chatbot.web.auth import LOOPBACK_NAMES, at_the_machine, bearer, check_origin
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.json_body import check_json
from tasks.chatbot.web.limits import Buckets
from tasks.chatbot.web.metrics import Metrics
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import Tokens, User, withdrawn

GRACE = 2.0  # seconds in which a request whose token was taken back may end by itself, with an error that says so
GUARDED = ("/api/", "/v1/", "/metrics")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Gate:
    """Puts the `User` into the request's state, or answers with the error itself."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, tokens: Tokens, metrics: Metrics):
        self.app, self.settings, self.tokens, self.metrics = app, settings, tokens, metrics
        self.buckets = Buckets(settings.requests_per_minute, settings.burst)
        self.hosts = tuple(settings.allowed_hosts) or (() if tokens else LOOPBACK_NAMES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = self._with_headers(scope, send)
        try:
            headers = Headers(scope=scope)
            guarded = scope["path"].startswith(GUARDED)
            check_origin(headers, self.hosts, page=scope["method"] == "GET" and not guarded)
            scope.setdefault("state", {})["user"] = self._user(scope, headers) if guarded else User()
            if scope["method"] in ("POST", "PUT", "PATCH"):
                receive = await self._body(headers, receive)
            await self._while_held(scope, receive, send)
        except ApiError as error:
            await error.response()(scope, receive, send)

    async def _while_held(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and end it when its token is taken back: one whose client reads nothing would never end by itself.

        Raises:
            ApiError: 401, the token was taken back before the answer began.
        """
        begun, loop = False, asyncio.get_running_loop()

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(None) as limit:
                with self.tokens.held(scope["state"]["user"].owner, lambda: limit.reschedule(loop.time() + GRACE)):
                    await self.app(scope, receive, watched)
        except TimeoutError as error:
            if not limit.expired():
                raise
            if not begun:
                raise withdrawn() from error
            # Otherwise the answer breaks off here: uvicorn closes the connection of one that is not complete.

    def _user(self, scope: Scope, headers: Headers) -> User:
        """Whose request it is. Wrong tokens are charged to the address, so that guessing is slow."""
        address = (scope.get("client") or ("unknown", 0))[0]
        user = self.tokens.find(bearer(headers)) if self.tokens else at_the_machine(headers)
        wait = self.buckets.take(user.owner if user and user.owner else address)
        if wait:
            raise ApiError(429, "rate_limit_exceeded", f"too many requests; the next is accepted in {wait:.0f} seconds", retry_after=wait)
        if user is None:
            raise ApiError(401, "invalid_token", "this server asks for a token: send it as `Authorization: Bearer TOKEN`")
        return user

    async def _body(self, headers: Headers, receive: Receive) -> Receive:
        """Read the whole body within its limits; returns a `receive` that gives it once, then whatever the client does."""
        limit = self.settings.max_body_kb * 1024
        too_large = ApiError(
            413, "request_too_large", f"the body is larger than {self.settings.max_body_kb} KiB, the most accepted here (serve.max_body_kb)"
        )
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "unsupported_media_type", "a JSON body is expected, with Content-Type: application/json")
        if headers.get("content-length", "0").isdecimal() and int(headers.get("content-length", "0")) > limit:
            raise too_large
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                while more:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message["type"] == "http.request" and message.get("more_body", False)
                    if len(body) > limit:
                        raise too_large
        except TimeoutError as error:
            raise ApiError(408, "body_timeout", f"the body did not arrive within {self.settings.body_seconds:g} seconds") from error
        await run_in_threadpool(check_json, bytes(body))
        return _once({"type": "http.request", "body": bytes(body), "more_body": False}, receive)

    def _with_headers(self, scope: Scope, send: Send) -> Callable[[Message], Awaitable[None]]:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache" if scope["path"].startswith("/static/") else "no-store")
                self._count(scope, message["status"])
            await send(message)

        return with_headers

    def _count(self, scope: Scope, status: int) -> None:
        """By the route's own path: paths of strangers would make a time series each."""
        path = getattr(scope.get("route"), "path", "other" if status == 404 else "refused")
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD") else "other"
        self.metrics.requests.labels(method, path, str(status)).inc()


def _once(first: dict[str, Any], receive: Receive) -> Receive:
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return first

    return once
