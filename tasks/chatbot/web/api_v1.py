"""`/v1/chat/completions` and `/v1/models`, as OpenAI's clients know them. https://platform.openai.com/docs/api-reference/chat

The engine is the page's own: questions are looked up and filtered here too. What it found comes along as `migaki.sources`, which
other clients pass over. Nothing is dropped in silence: a field that would change the answer and cannot be honoured is refused by name, any other that
is not known here is named in the header `x-migaki-ignored`.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from tasks.chatbot.web.answering import unless_left
from tasks.chatbot.web.completing import Completing
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.fields_v1 import header, passed_over
from tasks.chatbot.web.limits import Slots
from tasks.chatbot.web.request_v1 import Completion
from tasks.chatbot.web.service import Asker, Service

ALIAS = "migaki"  # whatever is served


def openai_routes(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/models")
    def models(user: Asker) -> dict[str, Any]:
        return {"object": "list", "data": [model_card(service)]}

    @router.get("/models/{model:path}")
    def model(model: str, user: Asker) -> dict[str, Any]:
        check_model(service, model)
        return model_card(service)

    @router.post("/chat/completions", response_model=None)
    async def completions(asked: Completion, request: Request, response: Response, user: Asker) -> Response | dict[str, Any] | None:
        check_model(service, asked.model)
        unknown = passed_over(asked.model_extra or {})
        check_places(service.slots, user.owner, asked.n)
        answer = await run_in_threadpool(Completing, service, asked, user)  # schemas and hundreds of messages take their time
        told = header(unknown + answer.ignored)
        if asked.stream:
            return EventSourceResponse(answer.stream(), headers=told, ping=15, sep="\n", send_timeout=service.settings.reading_seconds)
        response.headers.update(told)
        return await unless_left(request, answer.whole())

    return router


def model_card(service: Service) -> dict[str, Any]:
    return {"id": service.about.model, "object": "model", "created": service.about.created, "owned_by": "migaki"}


def check_model(service: Service, model: str) -> None:
    if model not in (service.about.model, ALIAS):
        raise ApiError(
            404, "model_not_found", f"the model {model!r} is not served here; {service.about.model!r} is (or say {ALIAS!r})", "model"
        )


def check_places(slots: Slots, owner: str, answers: int) -> None:
    """Raises ApiError: 400, nobody is ever made so many answers at once; and what `Slots.check` raises."""
    if answers > (share := slots.share(owner)):
        raise ApiError(400, "too_many_choices", f"n = {answers}; at most {share} answers are made for one user at once here", "n")
    slots.check(owner, answers)
