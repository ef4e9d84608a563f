"""What a request of `/v1/chat/completions` is answered with: one answer or several, whole or as a stream of chunks."""

import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from sse_starlette import ServerSentEvent

from tasks.chatbot.housekeeping import Housekeeping, housekeeping
from tasks.chatbot.tools.bounds import UnusableSchema
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.chatbot.web.answering import together
from tasks.chatbot.web.choice_v1 import Added, Choice, Wanted, extras
from tasks.chatbot.web.errors import ApiError, failed
from tasks.chatbot.web.format_v1 import wanted_schema
from tasks.chatbot.web.logprobs_v1 import joined
from tasks.chatbot.web.request_v1 import Completion, Dialogue, FunctionCall, NamedTool, check_size, dialogue
from tasks.chatbot.web.service import Service
from tasks.chatbot.web.tokens import User
from tasks.errors import MigakiError
from tasks.inference.backend import Sampling

log = logging.getLogger("migaki.web")
HOUSEKEEPING_TOKENS = 256  # of a title, of tags or of a few questions
DRAWN = ("temperature", "top_p", "top_k", "min_p", "seed")  # what beams do not heed, and JSON, the likeliest under its schema


class Completing:
    """The answers to a request; `ignored` are the fields that none of them heeds.

    Raises:
        ApiError: 400, the messages ask nothing, or something is asked for that cannot be done.
    """

    def __init__(self, service: Service, asked: Completion, user: User):
        check_size(asked, service.settings)
        self.asked, talk, schema = asked, dialogue(asked.messages), wanted_schema(asked.response_format)
        house = asked_by_a_page(asked, talk)
        wanted = Wanted(
            service.engine,
            talk,
            sampling(service, asked, house is not None),
            tuple(asked.stops()),
            schema,
            toolbox(asked),
            asked.forced,
            tuple(made(call, result) for call, result in talk.made),
            house,
        )
        as_json = schema is not None or (house is not None and house.schema is not None)
        check_together(asked, wanted.sampling, as_json)
        unheeded = (*DRAWN, "repetition_penalty") if as_json else DRAWN if wanted.sampling.num_beams > 1 else ()
        self.ignored = [name for name in unheeded if name in asked.model_fields_set]
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": service.about.model}
        self.choices = [Choice(service, wanted, user, index) for index in range(asked.n)]

    async def whole(self) -> dict[str, Any]:
        """The answers in one object.

        Raises:
            ApiError: no slot came, or an answer failed.
        """
        messages: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None} for _ in self.choices]
        logprobs: list[list[dict[str, Any]]] = [[] for _ in self.choices]
        try:
            async with aclosing(self._added()) as additions:
                async for index, added in additions:
                    messages[index]["content"] += added.message.get("content", "")
                    messages[index] |= {"tool_calls": added.message["tool_calls"]} if "tool_calls" in added.message else {}
                    logprobs[index] += [added.logprobs] if added.logprobs else []
        except ApiError:
            raise
        except Exception as error:
            log.exception("a completion failed")
            raise failed() from error
        for message in messages:
            message["content"] = message["content"] or None if "tool_calls" in message else message["content"]
        choices = [
            {
                "index": choice.index,
                "message": message,
                "finish_reason": choice.finish,
                "logprobs": joined(told) if self.asked.logprobs else None,
            }
            for choice, message, told in zip(self.choices, messages, logprobs, strict=True)
        ]
        migaki = extras(self.choices[0].turn)
        return self.head | {"object": "chat.completion", "choices": choices, "usage": self._usage(), "migaki": migaki}

    async def stream(self) -> AsyncIterator[ServerSentEvent]:
        """The answers in chunks, ended by `[DONE]`; an error that comes too late for a status is a chunk of its own."""
        try:
            for choice in self.choices:
                yield self._chunk(choice.index, Added({"role": "assistant", "content": ""}))
            async with aclosing(self._added()) as additions:
                async for index, added in additions:
                    yield self._chunk(index, added)
            for choice in self.choices:
                yield self._chunk(choice.index, Added({}), choice.finish, migaki=extras(choice.turn))
            if self.asked.stream_options and self.asked.stream_options.include_usage:
                yield data(self.head | {"object": "chat.completion.chunk", "choices": [], "usage": self._usage()})
        except ApiError as error:
            yield data(error.body())
        except Exception:
            log.exception("a streamed completion failed")
            yield data(failed().body())
        yield ServerSentEvent("[DONE]", sep="\n")

    def _added(self) -> AsyncGenerator[tuple[int, Added], None]:
        return together([choice.added() for choice in self.choices])

    def _chunk(self, index: int, added: Added, finish: str | None = None, **more: Any) -> ServerSentEvent:
        calls = [{"index": i} | call for i, call in enumerate(added.message.get("tool_calls", []))]
        delta = added.message | ({"tool_calls": calls} if calls else {})
        logprobs = added.logprobs if self.asked.logprobs else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return data(self.head | {"object": "chat.completion.chunk", "choices": [choice]} | more)

    def _usage(self) -> dict[str, int]:
        """The prompt counts once, as with OpenAI."""
        prompt, completion = self.choices[0].prompt, sum(choice.completion for choice in self.choices)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def asked_by_a_page(asked: Completion, talk: Dialogue) -> Housekeeping | None:
    """The question as a prompt that a chat's page sends by itself: it stands alone, and offers no tools."""
    return housekeeping(talk.question) if not (talk.turns or talk.made or asked.tools) else None


def sampling(service: Service, asked: Completion, for_a_page: bool) -> Sampling:
    """The engine's own way of generating, with what the client wants otherwise.

    Raises:
        ApiError: 400, the model is on a server that does not heed a field.
    """
    own, backend = service.engine.sampling(), service.engine.backend
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "num_beams", "seed")
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    given |= {"top_k": 0} if asked.top_k == -1 else {}
    for name in given.keys() & backend.passes_over:
        if given[name] != getattr(Sampling(top_k=0), name):
            raise ApiError(
                400, "unsupported_parameter", f"{name} = {given[name]} is not heeded by the server that answers; leave it out", name
            )
    longest = asked.longest or (HOUSEKEEPING_TOKENS if for_a_page else own.max_new_tokens)
    most = min(longest, HOUSEKEEPING_TOKENS if for_a_page else service.settings.max_answer_tokens)
    logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    return replace(own, max_new_tokens=min(most, service.settings.max_answer_tokens), logprobs=logprobs, **given)


def check_together(asked: Completion, wanted: Sampling, as_json: bool) -> None:
    """Raises:
    ApiError: 400, two fields, of which each by itself could be honoured, cannot be together.
    """
    clashes = (
        (bool(asked.top_logprobs) and not asked.logprobs, "top_logprobs", "they belong to logprobs = true, which is not asked for"),
        (asked.logprobs and wanted.num_beams > 1, "logprobs", f"num_beams is {wanted.num_beams}, and beams tell none of their tokens"),
        (asked.logprobs and as_json, "logprobs", "an answer that is held to JSON has none; leave them out"),
        (asked.n > 1 and wanted.num_beams > 1, "n", f"num_beams is {wanted.num_beams}, and beams find one and the same answer each time"),
        ((asked.num_beams or 1) > 1 and as_json, "num_beams", "an answer that is held to JSON is not searched with beams; leave it out"),
    )
    for clash, name, why in clashes:
        if clash:
            value = json.dumps(getattr(asked, name))
            raise ApiError(400, "unsupported_parameter", f"{name} = {value} cannot be honoured: {why}", name)


def toolbox(asked: Completion) -> ToolBox | None:
    """The client's tools, or None where none may be called.

    Raises:
        ApiError: 400, a tool has no name or one that another has, or a tool is required that is not there.
    """
    declared, place = [], "tools"
    try:
        for number, schema in enumerate(asked.tools):
            place = f"tools.{number}{'.function' * ('function' in schema)}"
            declared.append(Tool.declared(schema))
        tools = ToolBox(declared).tools
    except UnusableSchema as error:
        raise ApiError(400, "invalid_tools", f"{place}.{error}", f"{place}.{error.field}") from error
    except MigakiError as error:
        raise ApiError(400, "invalid_tools", str(error), "tools") from error
    choice = asked.tool_choice
    allowed = [tool for tool in tools.values() if not isinstance(choice, NamedTool) or tool.name == choice.function.name]
    if asked.forced and not allowed:
        wanted = repr(choice.function.name) if isinstance(choice, NamedTool) else "a call"
        raise ApiError(400, "invalid_tools", f"tool_choice requires {wanted}; tools has {', '.join(tools) or 'none'}", "tool_choice")
    return ToolBox(allowed) if allowed and choice != "none" else None


def made(call: FunctionCall, result: str) -> tuple[Called, Returned]:
    """A call that the client has run, as the engine knows calls. Raises ApiError, 400, where the arguments are no JSON object."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise ApiError(
            400, "invalid_tool_call", f"the arguments of {call.name!r} are not a JSON object: {call.arguments[:200]!r}", "messages"
        )
    return Called(call.name, arguments), Returned(call.name, True, result)


def data(content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(content, ensure_ascii=False), sep="\n")
