"""The page and API on which administrators decide on releases that wait for a person: what each rests on, and their word on it."""

from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.tokens import User

STATIC = Path(__file__).parent / "static"
LONGEST = 2000  # characters of a reason
STATUS = {"unknown": 404}  # by the code of a refusal; others are 409
What = Literal["approve", "refuse"]


class NotDecided(Exception):
    """A decision that is refused. `code` is for programs: unknown, decided, expired, champion_changed, index_changed or cannot_serve."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Approvals(Protocol):
    """Where decisions wait. Called from several threads at once."""

    def waiting(self) -> list[dict[str, Any]]:
        """`id`, `release`, `would` (promote or inconclusive, as the gate alone says), `reason`, `since` and `until` (ISO 8601, UTC), `against` (code of why it cannot be
        approved as things are, "" where it can) and `against_why` of each, the latest first; and what it was decided by: `metric`, `difference`, `low`,
        `high`, `items`, `smallest` and `needed`."""
        ...

    def conversations(self, id: str) -> dict[str, Any]:
        """`held_against` (champion or base), and `conversations`, each with `suite`, `lang`, `question`, `accepted`, and, of both chatbots, `before` and `after`
        with `answer` and `verdict`. Raises NotDecided where nothing waits under this id."""
        ...

    def decide(self, id: str, what: What, user: User, why: str) -> None:
        """In the name of the user; done when this returns. Raises NotDecided where it cannot be, nothing being changed."""
        ...


class Word(BaseModel):
    """What a person says."""

    model_config = ConfigDict(extra="forbid")
    decision: What
    why: str = Field(max_length=LONGEST)


def admin_of(request: Request) -> User:
    """Raises:
    ApiError: 403, whoever asks is no administrator.
    """
    user: User = request.state.user
    if user.role != "admin":
        raise ApiError(403, "not_allowed", "only an administrator decides on releases; the role stands in the server's token file")
    return user


Admin = Annotated[User, Depends(admin_of)]


def approval_routes(approvals: Approvals) -> APIRouter:
    router = APIRouter()

    @router.get("/approvals")
    def page() -> FileResponse:
        return FileResponse(STATIC / "approvals.html", headers={"Cache-Control": "no-cache"})

    @router.get("/api/approvals")
    def waiting(user: Admin) -> dict[str, Any]:
        return {"waiting": approvals.waiting()}

    @router.get("/api/approvals/{id}")
    def conversations(id: str, user: Admin) -> dict[str, Any]:
        try:
            return approvals.conversations(id)
        except NotDecided as error:
            raise _told(error) from error

    @router.post("/api/approvals/{id}", status_code=204)
    def decide(id: str, word: Word, user: Admin) -> None:
        if not word.why.strip():
            raise ApiError(422, "no_reason", "a reason is needed: say in words why", "why")
        try:
            approvals.decide(id, word.decision, user, word.why)
        except NotDecided as error:
            raise _told(error) from error

    return router


def _told(error: NotDecided) -> ApiError:
    return ApiError(STATUS.get(error.code, 409), error.code, str(error), "id")
