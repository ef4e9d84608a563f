"""Errors as OpenAI's API shapes them, on every path, so that one reader of errors serves all clients."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

LONGEST = 80  # characters of a value that a message shows


class ApiError(Exception):
    """`code` is for programs, the message for people: it says what was wrong and what would be accepted."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None, retry_after: float | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.retry_after = status, code, message, param, retry_after

    def body(self) -> dict[str, dict[str, str | None]]:
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        headers = {"Retry-After": str(max(1, round(self.retry_after)))} if self.retry_after is not None else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers)


# A new one each time: an exception that is raised again keeps the frames of every time before.
def failed() -> ApiError:
    """Something went wrong that whoever asked can do nothing about."""
    return ApiError(500, "answer_failed", "the answer failed; the server's log has the reason")


def unavailable() -> ApiError:
    """The model answers nobody at the moment."""
    return ApiError(
        503, "unavailable", "the model cannot answer at the moment: ask again later; the server's log has the reason", retry_after=5
    )


def in_words(problems: Sequence[dict[str, Any]], body: Any) -> tuple[str, str | None]:
    """(message, name of the first field) of pydantic's list of problems with a body: each field by its way through the body, with what stands there."""
    named, first = list[str](), None
    for problem in problems:
        if problem["type"] == "json_invalid":
            return f"the body is not valid JSON: {problem.get('ctx', {}).get('error', problem['msg'])}", None
        where, *place = problem["loc"]
        name = _way(place, body, problem["type"] == "missing") if where == "body" else ".".join(map(str, place))
        value = problem.get("input")
        shown = (
            f" = {json.dumps(value, ensure_ascii=False):.{LONGEST}}"
            if isinstance(value, str | int | float) and problem["type"] != "extra_forbidden"
            else ""
        )
        named.append(
            f"{name}{shown}: {problem['msg']}" if name else "a JSON object is expected as the body, with Content-Type: application/json"
        )
        first = first or name
    return "; ".join(named), first or None


def _way(place: Sequence[str | int], body: Any, missing: bool) -> str:
    """Names and numbers on the way to a field; what pydantic says there of the types that it tried is left out."""
    found = list[str]()
    for number, part in enumerate(place, 1):
        if (isinstance(body, dict) and part in body) or (isinstance(body, list) and isinstance(part, int) and part < len(body)):
            found, body = [*found, str(part)], body[part]  # type: ignore[index]
        elif missing and number == len(place):
            found.append(str(part))
    return ".".join(found)
