"""The page's own API: ask (an answer streams as server-sent events), stop, conversations, ratings."""

import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from tasks.chatbot.events import Ended, Event
from tasks.chatbot.web.errors import ApiError, failed
from tasks.chatbot.web.panel import Chosen, ranges, sampling, told
from tasks.chatbot.web.service import Asker, Service, kept, title_of
from tasks.chatbot.web.tokens import User
from tasks.inference.backend import Sampling

log = logging.getLogger("migaki.web")


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1)
    conversation: str | None = None  # None begins a new one
    generation: Chosen = Chosen()


class Rating(BaseModel):
    model_config = ConfigDict(extra="forbid")
    turn: str
    rating: Literal[-1, 0, 1]
    correction: str | None = Field(None, max_length=20_000)


class Stop(BaseModel):
    model_config = ConfigDict(extra="forbid")
    answer: str


@dataclass(frozen=True)
class Begun:
    """The first event: where the turn will be kept, and the name by which it can be stopped."""

    conversation: str
    answer: str


def page_routes(service: Service) -> APIRouter:
    router, chats = APIRouter(prefix="/api"), service.chats

    @router.get("/about")
    def about(user: Asker) -> dict[str, Any]:
        return asdict(service.about) | {
            "documents": service.documents_for(user),
            "user": user.name,
            "role": user.role,
            "max_question": service.settings.max_question,
            "generation": ranges(service),
        }

    @router.get("/conversations")
    def conversations(user: Asker) -> dict[str, Any]:
        return {"conversations": chats.conversations(user.owner)}

    @router.get("/conversations/{conversation}")
    def messages(conversation: str, user: Asker) -> dict[str, Any]:
        return {"id": conversation, "messages": messages_of(service, conversation, user)}

    @router.delete("/conversations/{conversation}", status_code=204)
    def delete(conversation: str, user: Asker) -> None:
        try:
            chats.delete(conversation, user)
        except LookupError as error:
            raise no_conversation(conversation) from error

    @router.post("/rate", status_code=204)
    def rate(rating: Rating, user: Asker) -> None:
        keep_rating(service, rating, user)

    @router.post("/stop", status_code=204)
    async def stop(asked: Stop, user: Asker) -> None:
        running = service.running.get(asked.answer)
        if running is None or running.owner != user.owner:
            raise ApiError(404, "unknown_answer", f"no answer {asked.answer!r} is being made for you", "answer")
        running.stop.set()

    @router.post("/chat")
    async def chat(asked: Question, user: Asker) -> EventSourceResponse:
        check_question(asked.question, service.settings.max_question)
        sampling(service, asked.generation)
        service.slots.check(user.owner)
        earlier = []
        if asked.conversation is not None:
            earlier = await run_in_threadpool(messages_of, service, asked.conversation, user)
            # One that is being answered is refused here with a status: once the stream has begun, only an event could say so.
            with service.alone(asked.conversation):
                pass
        return EventSourceResponse(turn(service, asked, user, earlier), ping=15, send_timeout=service.settings.reading_seconds)

    return router


def keep_rating(service: Service, rating: Rating, user: User) -> None:
    """Raises:
    ApiError: 404, the answer is not theirs; 507, it cannot be kept.
    """
    try:
        service.chats.rate(rating.turn, user.owner, rating.rating, (rating.correction or "").strip() or None)
    except LookupError as error:
        raise ApiError(404, "unknown_turn", f"you have no answer {rating.turn!r} to rate", "turn") from error
    except OSError as error:
        log.warning("a rating could not be kept: %s", error)
        raise ApiError(507, "not_kept", "it could not be kept: the server's disk may be full; try again later") from error


def check_question(question: str, longest: int) -> None:
    """Raises:
    ApiError: 422, the question is blank or too long.
    """
    if not question.strip():
        raise ApiError(422, "empty_question", "the question is empty", "question")
    if len(question) > longest:
        raise ApiError(
            422,
            "question_too_long",
            f"the question has {len(question)} characters; at most {longest} are accepted (serve.max_question)",
            "question",
        )


def no_conversation(conversation: str) -> ApiError:
    return ApiError(404, "unknown_conversation", f"you have no conversation {conversation!r}; it may have been deleted", "conversation")


def messages_of(service: Service, conversation: str, user: User) -> list[dict[str, Any]]:
    try:
        return service.seen_today(service.chats.messages(conversation, user.owner), user)
    except LookupError as error:
        raise no_conversation(conversation) from error


async def turn(service: Service, asked: Question, user: User, earlier: list[dict[str, Any]]) -> AsyncIterator[ServerSentEvent]:
    """One turn as server-sent events; what goes wrong once it streams is an event `error`."""
    stop = threading.Event()
    try:
        with service.answer_id(user.owner, stop) as answer, service.alone(asked.conversation):
            produce = partial(produced, service, asked, user, earlier, stop, answer)
            async with aclosing(service.stream(produce, stop, "page", user.owner)) as events:
                async for event in events:
                    yield sse(event)
    except ApiError as error:
        yield ServerSentEvent(json.dumps(error.body()["error"], ensure_ascii=False), event="error")
    except Exception:
        log.exception("the answer to a question of the page failed")
        yield ServerSentEvent(json.dumps(failed().body()["error"]), event="error")


def produced(
    service: Service, asked: Question, user: User, earlier: list[dict[str, Any]], stop: threading.Event, answer: str
) -> Iterator[Event | Begun]:
    """What a turn leads to; runs in the answer's own thread. A conversation whose first answer failed is not left behind empty."""
    chats, conversation = service.chats, asked.conversation
    if conversation is None:
        conversation = chats.begin(user.owner, title_of(asked.question))
    ended = False
    try:
        yield Begun(conversation, answer)
        engine, wanted = service.engine, sampling(service, asked.generation)
        events = engine.answer(service.conversation(earlier), asked.question, user.groups, stop, wanted, salt=user.salt)
        for event in kept(chats, conversation, events if wanted is None else as_chosen(events, engine.sampling(), wanted)):
            ended = ended or isinstance(event, Ended)
            yield event
    finally:
        if not ended and asked.conversation is None:
            chats.delete(conversation, user)


def as_chosen(events: Iterator[Event], own: Sampling, used: Sampling) -> Iterator[Event]:
    """The events of a turn that was generated as its asker chose."""
    for event in events:
        yield replace(event, turn=told(event.turn, own, used)) if isinstance(event, Ended) else event


def sse(event: Event | Begun) -> ServerSentEvent:
    content = asdict(event)
    content.pop("tokens", None)  # of a piece: the page shows no log-probabilities
    if isinstance(event, Ended):
        del content["turn"]["decisions"]  # whoever saw what the filters thought could learn their limits; the catalog keeps it
    return ServerSentEvent(json.dumps(content, ensure_ascii=False), event=type(event).__name__.lower())
