"""What the routes share: the engine, the keeper of conversations, and who is being answered just now."""

import logging
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Request

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Ended, Event, Turn
from tasks.chatbot.quoting import without_notices
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.web.about import About
from tasks.chatbot.web.answering import answering
from tasks.chatbot.web.errors import ApiError, unavailable
from tasks.chatbot.web.limits import Slots
from tasks.chatbot.web.metrics import Metrics
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import NO_TOKENS, Tokens, User
from tasks.chatbot.web.withholding import as_seen_today
from tasks.errors import MigakiError
from tasks.inference.backend import Backend, Sampling, Unavailable
from tasks.text.messages import Message

TITLE = 60  # characters of the first question
log = logging.getLogger("migaki.web")
T = TypeVar("T")


def user_of(request: Request) -> User:
    return request.state.user


Asker = Annotated[User, Depends(user_of)]


class Engine(Protocol):
    """What is needed of `tasks.chatbot.engine.ChatEngine`, which takes seconds to import."""

    backend: Backend
    settings: ChatSettings
    retriever: Any  # None without an index
    guard: Any  # None without safety filters

    @property
    def weak_in(self) -> tuple[str, ...]: ...

    def answer(
        self,
        conversation: Conversation,
        question: str,
        groups: frozenset[str] = frozenset(),
        stop: threading.Event | None = None,
        sampling: Sampling | None = None,
        made: Sequence[tuple[Called, Returned]] = (),
        salt: str = "",
        schema: dict[str, Any] | None = None,
        alone: bool = False,
    ) -> Generator[Event, None, None]: ...

    def during(self, salt: str, stop: threading.Event) -> "Engine": ...

    def sampling(self) -> Sampling: ...


class Chats(Protocol):
    """Where conversations are kept. Each belongs to an owner; for anybody else it does not exist. Called from several threads at once."""

    about: About  # what conversations that begin from now on are held with

    def begin(self, owner: str, title: str) -> str:
        """A new conversation's id, which cannot be guessed."""
        ...

    def keep(self, conversation_id: str, turn: Turn) -> None:
        """It is on the disk when this returns. Raises OSError where it cannot be."""
        ...

    def note(self, turn: Turn) -> None:
        """Log what the safety filters decided in a turn of which nothing else is kept. Raises OSError as `keep` does."""
        ...

    def conversations(self, owner: str) -> list[dict[str, Any]]:
        """`id`, `title` and `last` (when something was last said, ISO 8601, UTC) of each, the latest first."""
        ...

    def messages(self, conversation_id: str, owner: str) -> list[dict[str, Any]]:
        """In order: `role` and `content`; of answers also `turn_id`, `lang`, `reason`, `finish`, `refused`, `sources`, `sentences`, `calls`, `rating`
        and `correction`.

        Raises:
            LookupError: the owner has no such conversation.
        """
        ...

    def delete(self, conversation_id: str, user: User) -> None:
        """One of the user's own, by them. Raises LookupError as `messages` does."""
        ...

    def rate(self, turn_id: str, owner: str, rating: int, correction: str | None) -> None:
        """Rating -1, 0 or 1, on the disk when this returns. Raises LookupError where the owner has no such turn, and OSError as `keep` does."""
        ...


@dataclass
class Running:
    """An answer being made, and whose."""

    owner: str
    stop: threading.Event


@dataclass
class Service:
    engine: Engine
    chats: Chats
    about: About
    settings: ServeSettings
    slots: Slots
    metrics: Metrics
    tokens: Tokens = NO_TOKENS
    housekeeping: Slots = field(init=False)
    running: dict[str, Running] = field(default_factory=dict)  # by answer id
    talking: set[str] = field(default_factory=set)  # conversations that are being answered

    def __post_init__(self) -> None:
        # One at a time, beside people's questions and out of their places: a page that everybody shares sends several after each answer.
        each = (1, self.settings.max_waiting_each) if self.tokens else ()
        self.housekeeping = Slots(1, self.settings.max_waiting, self.settings.waiting_seconds, *each)

    def conversation(self, messages: list[dict[str, Any]]) -> Conversation:
        """A conversation as it stood, from messages kept; as in the engine, without what is said around quotations, what was refused, and what
        may not be seen any more."""
        kept: list[Message] = []
        for message in messages:
            content = message["content"]
            kept.append({"role": message["role"], "content": without_notices(content) if message["role"] == "assistant" else content})
            if message.get("refused") or message.get("withheld"):
                del kept[-2:]
        turns = self.engine.settings.max_turns
        return Conversation(self.engine.settings.system, turns, kept[-2 * turns :])

    def documents_for(self, user: User) -> int:
        """How many documents somebody may see."""
        retriever = self.engine.retriever
        return self.about.documents if retriever is None else retriever.documents(user.groups)

    def seen_today(self, messages: list[dict[str, Any]], user: User) -> list[dict[str, Any]]:
        """Messages that were kept, as far as their owner may see today what they rest on."""
        retriever = self.engine.retriever
        return [as_seen_today(message, lambda source: retriever and retriever.admits(source, user.groups)) for message in messages]

    async def stream(
        self, produce: Callable[[], Iterator[T]], stop: threading.Event, channel: str, owner: str, slots: Slots | None = None
    ) -> AsyncGenerator[T, None]:
        """The events of `produce()`, counted, once there is one of the `slots` (the service's own, unless others are given).

        Raises:
            ApiError: what `answering` raises, 401 as soon as the owner's token is taken back, 503 where the model answers nobody, and 400 for what whoever asked can mend.
        """
        asked = time.monotonic()
        seconds = self.settings.answer_seconds
        events = answering(lambda: self.metrics.watch(produce(), channel, asked), stop, slots or self.slots, seconds, owner, self.tokens)
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except Unavailable as error:
            log.warning("no answer: %s", error)  # to the log alone: the message may name addresses that are nothing to those who ask
            raise unavailable() from error
        except MigakiError as error:
            raise ApiError(400, "cannot_answer", str(error)) from error

    @contextmanager
    def answer_id(self, owner: str, stop: threading.Event) -> Iterator[str]:
        """An id under which the owner can stop this answer while the block lasts."""
        answer = uuid.uuid4().hex
        self.running[answer] = Running(owner, stop)
        try:
            yield answer
        finally:
            del self.running[answer]

    @contextmanager
    def alone(self, conversation_id: str | None) -> Iterator[None]:
        """Raises:
        ApiError: 409, the conversation is being answered already, in another window say.
        """
        if conversation_id in self.talking:
            raise ApiError(
                409, "conversation_busy", "the last question of this conversation is still being answered; wait for it, or stop it"
            )
        if conversation_id is not None:
            self.talking.add(conversation_id)
        try:
            yield
        finally:
            self.talking.discard(conversation_id)


def kept(chats: Chats, conversation_id: str, events: Iterator[Event]) -> Iterator[Event]:
    """Pass events on and keep the turn before its end is told, so that it can be rated at once."""
    for event in events:
        if isinstance(event, Ended):
            try:
                chats.keep(conversation_id, event.turn)
            except OSError as error:
                log.warning("an answer could not be kept: %s", error)
                event = replace(event, kept=False)
        yield event


def title_of(question: str) -> str:
    """The question on one line, cut to the length of a title."""
    line = " ".join(question.split())
    return line if len(line) <= TITLE else line[: TITLE - 1] + "…"
