"""One of the answers to a request of `/v1/chat/completions`."""

import json
import logging
import threading
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Ended, Event, Piece, Turn
from tasks.chatbot.housekeeping import Housekeeping
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.tools.select import next_call
from tasks.chatbot.tools.toolbox import ToolBox
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.logprobs_v1 import ShownLogprobs
from tasks.chatbot.web.metrics import HOUSEKEEPING
from tasks.chatbot.web.request_v1 import Dialogue
from tasks.chatbot.web.service import Engine, Service
from tasks.chatbot.web.stops import StopAt
from tasks.chatbot.web.tokens import User
from tasks.errors import MigakiError
from tasks.inference.backend import CLOSING, Reason, Sampling
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
class Wanted:
    """What a request asks for, checked; all its answers are made by it."""

    engine: Engine  # kept, because the service may change to another before the answers end
    dialogue: Dialogue
    sampling: Sampling
    stops: tuple[str, ...]
    schema: dict[str, Any] | None
    tools: ToolBox | None
    forced: bool  # one of the tools must be called
    made: tuple[tuple[Called, Returned], ...]
    housekeeping: Housekeeping | None  # what the question is, where no person asks it

    @property
    def talk(self) -> list[Message]:
        return [*self.dialogue.turns, {"role": "user", "content": self.dialogue.question}]


@dataclass(frozen=True)
class Calling:
    """A call for the client to make; the engine's own calls are `Called` and stay here."""

    call: Called


@dataclass(frozen=True)
class Added:
    """What is added to a choice's message, and the log-probabilities of the tokens that it completes."""

    message: dict[str, Any]
    logprobs: dict[str, Any] | None = None


class Choice:
    """One answer: its pieces, and when they have ended `finish`, `turn`, `prompt` and `completion` (tokens)."""

    def __init__(self, service: Service, wanted: Wanted, user: User, index: int):
        self.service, self.wanted, self.user, self.index = service, wanted, user, index
        self.stop, self.text, self.logprobs = threading.Event(), StopAt(list(wanted.stops)), ShownLogprobs()
        self.finish = "stop"
        self.turn: Turn | None = None
        self.prompt = self.completion = 0

    async def added(self) -> AsyncGenerator[Added, None]:
        """Raises ApiError: no slot came, or the answer failed."""
        channel, slots = ("v1", None) if self.wanted.housekeeping is None else (HOUSEKEEPING, self.service.housekeeping)
        async with aclosing(self.service.stream(self._produce, self.stop, channel, self.user.owner, slots)) as events:
            async for event in events:
                if isinstance(event, Calling):
                    self.finish = "tool_calls"
                    yield Added({"tool_calls": [tool_call(event.call)]})
                elif isinstance(event, Piece):
                    self.logprobs.came(event)
                    if text := self.text.feed(event.text):
                        yield Added({"content": text}, self.logprobs.given(text))
                    if self.text.hit:
                        self.stop.set()
                elif isinstance(event, Ended):
                    self.turn, finish = event.turn, "refused" if event.turn.reason == "refused" else event.turn.finish
                    self.finish = FINISH[finish]
        if rest := self.text.rest():
            yield Added({"content": rest}, self.logprobs.given(rest))

    def _produce(self) -> Iterator[Event | Calling]:
        """A call of one of the client's tools, or else the answer. Runs in the answer's own thread."""
        call = self._call()
        if call is not None:
            said, count = (
                {"role": "assistant", "content": json.dumps(call.arguments, ensure_ascii=False)},
                self.wanted.engine.backend.count_tokens,
            )
            self._use(count([*self.wanted.talk, said]) - count(self.wanted.talk))
            yield Calling(call)
            return
        for event in self._answer():
            if isinstance(event, Ended):
                self._use(event.turn.tokens)
                self._note(event.turn)
            yield event

    def _call(self) -> Called | None:
        wanted = self.wanted
        if wanted.tools is None:
            return None
        backend = wanted.engine.during(self.user.salt, self.stop).backend
        question, made = wanted.dialogue.question, list(wanted.made)
        call = next_call(backend, wanted.talk, wanted.tools, question, made, wanted.forced, wanted.engine.weak_in)
        if call is None and wanted.forced and self.stop.is_set():
            raise ApiError(504, "timeout", "the arguments of a call were not ready in time, or nobody waits for them any more", "tools")
        if call is None and wanted.forced:
            raise MigakiError("a call was required, and the model could not give its arguments")
        return call

    def _answer(self) -> Iterator[Event]:
        wanted, engine = self.wanted, self.wanted.engine
        if wanted.housekeeping is not None:
            yield from self._keep_house(wanted.housekeeping)
            return
        conversation = Conversation(
            wanted.dialogue.system or engine.settings.system, engine.settings.max_turns, list(wanted.dialogue.turns)
        )
        more: dict[str, Any] = {"made": wanted.made} if wanted.made else {}
        more |= {"schema": wanted.schema} if wanted.schema is not None else {}
        yield from engine.answer(
            conversation, wanted.dialogue.question, self.user.groups, self.stop, self._sampling(), salt=self.user.salt, **more
        )

    def _keep_house(self, asked: Housekeeping) -> Iterator[Event]:
        """The model alone, as JSON where that is asked for; of a long conversation it reads the end."""
        engine, sampling = self.wanted.engine, self._sampling()
        conversation = Conversation(self.wanted.dialogue.system)
        room = engine.backend.context - 2 * sampling.max_new_tokens - CLOSING
        head = [{"role": "system", "content": conversation.system}] if conversation.system else []
        prompt = asked.within(lambda text: engine.backend.count_tokens([*head, {"role": "user", "content": text}]) <= room)
        schema = asked.schema if self.wanted.schema is None else self.wanted.schema
        yield from engine.answer(
            conversation, prompt, self.user.groups, self.stop, sampling, salt=self.user.salt, schema=schema, alone=True
        )

    def _sampling(self) -> Sampling:
        """Answers to one request differ: each draws by a seed of its own, the first by the one that is asked for."""
        seed = self.wanted.sampling.seed
        return self.wanted.sampling if seed is None else replace(self.wanted.sampling, seed=(seed + self.index + 2**63) % 2**64 - 2**63)

    def _note(self, turn: Turn) -> None:
        """Keep what the filters decided; of the question, which all answers share, once."""
        kept = [decision for decision in turn.decisions if self.index == 0 or decision["side"] == "output"]
        try:
            self.service.chats.note(replace(turn, decisions=kept))
        except OSError as error:  # the answer is the client's to keep
            log.warning("what the filters decided could not be kept: %s", error)

    def _use(self, completion: int) -> None:
        system = self.wanted.dialogue.system or self.wanted.engine.settings.system
        head = [{"role": "system", "content": system}] if system else []
        self.prompt, self.completion = self.wanted.engine.backend.count_tokens([*head, *self.wanted.talk]), completion


def tool_call(called: Called) -> dict[str, Any]:
    arguments = json.dumps(called.arguments, ensure_ascii=False)
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": {"name": called.name, "arguments": arguments}}


def extras(turn: Turn | None) -> dict[str, Any]:
    """What OpenAI's shape has no place for."""
    if turn is None:
        return {}
    facts = {name: getattr(turn, name) for name in ("reason", "finish", "refused", "quoted", "confidence")}
    return {"sources": [asdict(source) for source in turn.sources]} | facts
