"""One answer of `/v1/chat/completions`, whole or as a stream of chunks."""

import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, replace
from typing import Any

from sse_starlette import ServerSentEvent

from tasks.chatbot.backends import Sampling
from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Called, Ended, Event, Piece, Reason, Turn
from tasks.chatbot.web.auth import User
from tasks.chatbot.web.errors import FAILED, ApiError
from tasks.chatbot.web.request_v1 import Completion, dialogue
from tasks.chatbot.web.service import Service
from tasks.chatbot.web.stops import StopAt

log = logging.getLogger("migaki.web")
FINISH: dict[Reason, str] = {
    "stop": "stop",
    "length": "length",
    "timeout": "length",
    "stopped": "stop",
    "refused": "content_filter",
    "unanswered": "stop",
}


class Completing:
    """An answer to a request. Raises ApiError where the messages ask nothing."""

    def __init__(self, service: Service, asked: Completion, user: User):
        self.service, self.asked, self.user = service, asked, user
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": service.about.model}
        self.dialogue = dialogue(asked.messages)
        system = self.dialogue.system or service.engine.settings.system
        self.conversation = Conversation(system, service.engine.settings.max_turns, self.dialogue.turns)
        self.stop, self.text = threading.Event(), StopAt(asked.stops())
        self.finish, self.turn = "stop", None
        self.usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

    async def whole(self) -> dict[str, Any]:
        """The answer in one object.

        Raises:
            ApiError: no slot came, or the answer failed.
        """
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        try:
            async for delta in self._deltas():
                message["content"] += delta.get("content", "")
                message |= {"tool_calls": delta["tool_calls"]} if "tool_calls" in delta else {}
        except ApiError:
            raise
        except Exception as error:
            log.exception("a completion failed")
            raise FAILED from error
        message["content"] = message["content"] or None if "tool_calls" in message else message["content"]
        choice = {"index": 0, "message": message, "finish_reason": self.finish, "logprobs": None}
        return self.head | {"object": "chat.completion", "choices": [choice], "usage": self.usage, "migaki": extras(self.turn)}

    async def stream(self) -> AsyncIterator[ServerSentEvent]:
        """The answer in chunks, ended by `[DONE]`; an error that comes too late for a status is a chunk of its own."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            async for delta in self._deltas():
                yield self._chunk(delta)
            yield self._chunk({}, self.finish, migaki=extras(self.turn))
            if self.asked.stream_options and self.asked.stream_options.include_usage:
                yield data(self.head | {"object": "chat.completion.chunk", "choices": [], "usage": self.usage})
        except ApiError as error:
            yield data(error.body())
        except Exception:
            log.exception("a streamed completion failed")
            yield data(FAILED.body())
        yield ServerSentEvent("[DONE]", sep="\n")

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> ServerSentEvent:
        calls = [{"index": i} | call for i, call in enumerate(delta.get("tool_calls", []))]
        choice = {"index": 0, "delta": delta | ({"tool_calls": calls} if calls else {}), "finish_reason": finish}
        return data(self.head | {"object": "chat.completion.chunk", "choices": [choice]} | more)

    async def _deltas(self) -> AsyncIterator[dict[str, Any]]:
        """What is added to the message, piece by piece; then `finish`, `usage` and `turn` are known."""
        async for event in self.service.stream(self._produce, self.stop, "v1"):
            if isinstance(event, Called):
                self.finish = "tool_calls"
                yield {"tool_calls": [tool_call(event)]}
            elif isinstance(event, Piece):
                if text := self.text.feed(event.text):
                    yield {"content": text}
                if self.text.hit:
                    self.stop.set()
            elif isinstance(event, Ended):
                self.turn, self.finish = event.turn, FINISH[event.turn.reason]
        if rest := self.text.rest():
            yield {"content": rest}

    def _produce(self) -> Iterator[Event]:
        """Runs in the answer's own thread."""
        backend = self.service.engine.backend
        question = {"role": "user", "content": self.dialogue.question}
        prompt = backend.count_tokens([{"role": "system", "content": self.conversation.system}, *self.dialogue.turns, question])
        made = 0
        for event in self.service.engine.answer(
            self.conversation, self.dialogue.question, self.user.groups, self.stop, sampling(self.service, self.asked)
        ):
            if isinstance(event, Ended):
                made = event.turn.tokens
                self.service.chats.note(event.turn)
            yield event
        self.usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


def sampling(service: Service, asked: Completion) -> Sampling:
    """The engine's own way of generating, with what the client wants otherwise."""
    own = service.engine.sampling()
    longest = asked.max_completion_tokens or asked.max_tokens or own.max_new_tokens
    wanted = {"temperature": asked.temperature, "top_p": asked.top_p, "seed": asked.seed}
    given = {name: value for name, value in wanted.items() if value is not None}
    return replace(own, max_new_tokens=min(longest, service.settings.max_answer_tokens), **given)


def tool_call(called: Called) -> dict[str, Any]:
    arguments = json.dumps(called.arguments, ensure_ascii=False)
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": {"name": called.name, "arguments": arguments}}


def extras(turn: Turn | None) -> dict[str, Any]:
    """What OpenAI's shape has no place for."""
    if turn is None:
        return {}
    return {"sources": [asdict(source) for source in turn.sources], "reason": turn.reason, "refused": turn.refused, "quoted": turn.quoted}


def data(content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(content, ensure_ascii=False), sep="\n")
