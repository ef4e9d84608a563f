"""The page on which administrators see how the chatbot does: figures over weeks and releases, and what people ask that no document answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.service import Asker

PAGE = Path(__file__).parent / "static" / "monitor.html"
# Curves come as images inside the answer, which run nothing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

ReadWatched = Callable[[], dict[str, Any] | None]  # what `migaki monitor` found last; None before the first


def monitor_routes(read: ReadWatched) -> APIRouter:
    router = APIRouter()

    @router.get("/monitor")
    def page() -> FileResponse:
        return FileResponse(PAGE, headers={"Cache-Control": "no-cache", "Content-Security-Policy": POLICY})

    @router.get("/api/monitor")
    def watched(user: Asker) -> dict[str, Any]:
        if user.role != "admin":
            raise ApiError(403, "admins_watch", f"what people asked is for the role admin, and yours is {user.role}")
        found = read()
        if found is None:
            raise ApiError(404, "not_watched", "nothing was looked at yet: `migaki monitor`, or the flow monitor of a platform, does")
        return found

    return router
