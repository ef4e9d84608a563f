"""Errors as OpenAI's API shapes them, on every path, so that one reader of errors serves all clients."""

from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


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


def in_words(problems: Sequence[dict[str, Any]]) -> tuple[str, str | None]:
    """(message, name of the first field) of pydantic's list of problems."""
    named = []
    for problem in problems:
        if problem["type"] == "json_invalid":
            return f"the body is not valid JSON: {problem.get('ctx', {}).get('error', problem['msg'])}", None
        name = ".".join(str(part) for part in problem["loc"][1:])
        named.append(f"{name}: {problem['msg']}" if name else "a JSON object is expected as the body, with Content-Type: application/json")
    param = ".".join(str(part) for part in problems[0]["loc"][1:]) if problems else ""
    return "; ".join(named), param or None
