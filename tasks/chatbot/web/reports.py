"""Reports of retraining runs, for admins: they hold what people asked and what documents say. Prefect's page links to them here."""

import re
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.service import Asker

PAGE = Path(__file__).parent / "static" / "report.html"
RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A report is shown in a frame that runs no script and reaches nothing. It takes this policy over from the page around it, and styles itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

ReadReport = Callable[[str], str | None]  # the page of a run by its id; None where there is none


def report_routes(read: ReadReport) -> APIRouter:
    router = APIRouter()

    @router.get("/report")
    def page() -> FileResponse:
        return FileResponse(PAGE, headers={"Cache-Control": "no-cache", "Content-Security-Policy": POLICY})

    @router.get("/api/reports/{run}")
    def report(run: str, user: Asker) -> dict[str, str]:
        if user.role != "admin":
            raise ApiError(403, "admins_only", f"reports are for the role admin, and yours is {user.role}")
        found = read(run) if RUN.fullmatch(run) else None
        if found is None:
            raise ApiError(404, "unknown_report", f"there is no report of a run {run[:40]!r} in this server's home", "run")
        return {"run": run, "page": found}

    return router
