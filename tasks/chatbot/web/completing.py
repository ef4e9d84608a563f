"""One answer of `/v1/chat/completions`, whole or as a stream of chunks."""

import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from sse_starlette import ServerSentEvent

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Ended, Event, Piece, Turn
from tasks.chatbot.tools.bounds import UnusableSchema
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.tools.select import next_call
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.chatbot.web.errors import ApiError, failed
from tasks.chatbot.web.request_v1 import Completion, FunctionCall, NamedTool, check_size, dialogue
from tasks.chatbot.web.service import Service
from tasks.chatbot.web.stops import StopAt
from tasks.chatbot.web.tokens import User
from tasks.errors import MigakiError
from tasks.inference.backend import Reason, Sampling
from tasks.text.messages import Message

log = logging.getLogger("migaki.web")
FINISH: dict[Reason, str] = {
    "stop": "stop",
    "length": "length",
    "timeout": "length",
    "stopped": "stop",
    "refused": "content_filter",
}


@dataclass(frozen=True)
class Calling:
    """A call for the client to make; the engine's own calls are `Called` and stay here."""

    call: Called


class Completing:
    """An answer to a request. Raises ApiError where the messages ask nothing."""

    def __init__(self, service: Service, asked: Completion, user: User):
        self.service, self.asked, self.user = service, asked, user
        check_size(asked, service.settings)
        self.stop, self.text = threading.Event(), StopAt(asked.stops())
        # Kept, because the service may change to another before this answer ends.
        self.engine = service.engine
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": service.about.model}
        self.dialogue = dialogue(asked.messages)
        system = self.dialogue.system or self.engine.settings.system
        self.conversation = Conversation(system, self.engine.settings.max_turns, self.dialogue.turns)
        self.tools, self.forced, self.made = toolbox(asked), asked.forced, [made(call, result) for call, result in self.dialogue.made]
        self.finish = "stop"
        self.turn: Turn | None = None
        self.usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

    async def whole(self) -> dict[str, Any]:
        """The answer in one object.

        Raises:
            ApiError: no slot came, or the answer failed.
        """
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        try:
            async with aclosing(self._deltas()) as deltas:
                async for delta in deltas:
                    message["content"] += delta.get("content", "")
                    message |= {"tool_calls": delta["tool_calls"]} if "tool_calls" in delta else {}
        except ApiError:
            raise
        except Exception as error:
            log.exception("a completion failed")
            raise failed() from error
        message["content"] = message["content"] or None if "tool_calls" in message else message["content"]
        choice = {"index": 0, "message": message, "finish_reason": self.finish, "logprobs": None}
        return self.head | {"object": "chat.completion", "choices": [choice], "usage": self.usage, "migaki": extras(self.turn)}

    async def stream(self) -> AsyncIterator[ServerSentEvent]:
        """The answer in chunks, ended by `[DONE]`; an error that comes too late for a status is a chunk of its own."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            async with aclosing(self._deltas()) as deltas:
                async for delta in deltas:
                    yield self._chunk(delta)
            yield self._chunk({}, self.finish, migaki=extras(self.turn))
            if self.asked.stream_options and self.asked.stream_options.include_usage:
                yield data(self.head | {"object": "chat.completion.chunk", "choices": [], "usage": self.usage})
        except ApiError as error:
            yield data(error.body())
        except Exception:
            log.exception("a streamed completion failed")
            yield data(failed().body())
        yield ServerSentEvent("[DONE]", sep="\n")

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> ServerSentEvent:
        calls = [{"index": i} | call for i, call in enumerate(delta.get("tool_calls", []))]
        choice = {"index": 0, "delta": delta | ({"tool_calls": calls} if calls else {}), "finish_reason": finish}
        return data(self.head | {"object": "chat.completion.chunk", "choices": [choice]} | more)

    async def _deltas(self) -> AsyncGenerator[dict[str, Any], None]:
        """What is added to the message, piece by piece; then `finish`, `usage` and `turn` are known."""
        async with aclosing(self.service.stream(self._produce, self.stop, "v1", self.user.owner)) as events:
            async for event in events:
                if isinstance(event, Calling):
                    self.finish = "tool_calls"
                    yield {"tool_calls": [tool_call(event.call)]}
                elif isinstance(event, Piece):
                    if text := self.text.feed(event.text):
                        yield {"content": text}
                    if self.text.hit:
                        self.stop.set()
                elif isinstance(event, Ended):
                    self.turn, finish = event.turn, "refused" if event.turn.reason == "refused" else event.turn.finish
                    self.finish = FINISH[finish]
        if rest := self.text.rest():
            yield {"content": rest}

    def _produce(self) -> Iterator[Event | Calling]:
        """A call of one of the client's tools, or else the answer. Runs in the answer's own thread."""
        engine, asked = self.engine, self.dialogue.question
        talk = [*self.dialogue.turns, {"role": "user", "content": asked}]
        backend = engine.during(self.user.salt, self.stop).backend
        call = None if self.tools is None else next_call(backend, talk, self.tools, asked, self.made, self.forced, engine.weak_in)
        if call is None and self.forced and self.stop.is_set():
            raise ApiError(504, "timeout", "the arguments of a call were not ready in time, or nobody waits for them any more", "tools")
        if call is None and self.forced:
            raise MigakiError("a call was required, and the model could not give its arguments")
        if call is not None:
            said = {"role": "assistant", "content": json.dumps(call.arguments, ensure_ascii=False)}
            self._use(talk, engine.backend.count_tokens([*talk, said]) - engine.backend.count_tokens(talk))
            yield Calling(call)
            return
        wanted, more = sampling(self.service, self.asked), {"made": self.made} if self.made else {}
        for event in engine.answer(self.conversation, asked, self.user.groups, self.stop, wanted, salt=self.user.salt, **more):
            if isinstance(event, Ended):
                self._use(talk, event.turn.tokens)
                self._note(event.turn)
            yield event

    def _note(self, turn: Turn) -> None:
        try:
            self.service.chats.note(turn)
        except OSError as error:  # the answer is the client's to keep
            log.warning("what the filters decided could not be kept: %s", error)

    def _use(self, talk: list[Message], completion: int) -> None:
        head = [{"role": "system", "content": self.conversation.system}] if self.conversation.system else []
        prompt = self.engine.backend.count_tokens([*head, *talk])
        self.usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def sampling(service: Service, asked: Completion) -> Sampling:
    """The engine's own way of generating, with what the client wants otherwise."""
    own = service.engine.sampling()
    longest = asked.max_completion_tokens or asked.max_tokens or own.max_new_tokens
    wanted = {"temperature": asked.temperature, "top_p": asked.top_p, "seed": asked.seed}
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    return replace(own, max_new_tokens=min(longest, service.settings.max_answer_tokens), **given)


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


def tool_call(called: Called) -> dict[str, Any]:
    arguments = json.dumps(called.arguments, ensure_ascii=False)
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": {"name": called.name, "arguments": arguments}}


def extras(turn: Turn | None) -> dict[str, Any]:
    """What OpenAI's shape has no place for."""
    if turn is None:
        return {}
    facts = {name: getattr(turn, name) for name in ("reason", "finish", "refused", "quoted", "confidence")}
    return {"sources": [asdict(source) for source in turn.sources]} | facts


def data(content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(content, ensure_ascii=False), sep="\n")
