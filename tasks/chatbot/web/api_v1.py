"""`/v1/chat/completions` and `/v1/models`, as OpenAI's clients know them. https://platform.openai.com/docs/api-reference/chat

The engine is the page's own: questions are looked up and filtered here too. What it found comes along as `migaki.sources`, which
other clients pass over. Parameters that would change the answer and are not known here are refused, never dropped in silence.
"""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from tasks.chatbot.web.answering import unless_left
from tasks.chatbot.web.completing import Completing
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.request_v1 import Completion
from tasks.chatbot.web.service import Asker, Service

ALIAS = "migaki"  # whatever is served
# What clients send with the value that changes nothing; any other value cannot be honoured.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "functions": ([],),
    "audio": (),
}


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
    async def completions(asked: Completion, request: Request, user: Asker) -> Response | dict[str, Any] | None:
        check_model(service, asked.model)
        check_neutral(asked.model_extra or {})
        service.slots.check(user.owner)
        answer = await run_in_threadpool(Completing, service, asked, user)  # schemas and hundreds of messages take their time
        if asked.stream:
            return EventSourceResponse(answer.stream(), ping=15, sep="\n", send_timeout=service.settings.reading_seconds)
        return await unless_left(request, answer.whole())

    return router


def model_card(service: Service) -> dict[str, Any]:
    return {"id": service.about.model, "object": "model", "created": service.about.created, "owned_by": "migaki"}


def check_model(service: Service, model: str) -> None:
    if model not in (service.about.model, ALIAS):
        raise ApiError(
            404, "model_not_found", f"the model {model!r} is not served here; {service.about.model!r} is (or say {ALIAS!r})", "model"
        )


def check_neutral(extra: dict[str, Any]) -> None:
    """Raises:
    ApiError: 400, a parameter that is known to change answers and cannot be honoured.
    """
    for name, value in extra.items():
        if name in NEUTRAL and value is not None and value not in NEUTRAL[name]:
            raise ApiError(400, "unsupported_parameter", f"{name} = {json.dumps(value)} is not supported here; leave it out", name)
