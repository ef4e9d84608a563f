"""One turn of the chatbot: check the question, call tools, look things up, stream the answer, check it, say where it comes from.

One engine serves terminal, web page and HTTP, and many people at once; what belongs to one of them is in their `Conversation`. In a language
that is answered by quoting, and where it is not sure that what it found answers, the engine does not let the model write: it quotes the best
sentences found and says so.
"""

import copy
import json
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from storage.kinds import Answering
from tasks.chatbot.citations import cite
from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Ended, Event, Found, Piece, Sentence, Source, Turn
from tasks.chatbot.filtered import decide, refuse, written
from tasks.chatbot.followup import look_up
from tasks.chatbot.index import Index
from tasks.chatbot.language import languages
from tasks.chatbot.quoting import Quote, best_sentences, quote_line, quoted, without_notices
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.injection import as_data, without_delimiters
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.smalltalk import is_small_talk
from tasks.chatbot.tools.arguments import EXAMPLE
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.tools.select import next_call
from tasks.chatbot.tools.toolbox import ToolBox
from tasks.errors import MigakiError
from tasks.inference.backend import CLOSING, Asker, Backend, Delta, Sampling
from tasks.prompts.context import notes_part, with_context
from tasks.rag.confidence import LOOKED_AT
from tasks.rag.retrieval import Hit
from tasks.text.detection import detect
from tasks.text.messages import Message

NEAREST = 4  # passages that are shown at least where it is not sure that they answer


@dataclass(frozen=True)
class Manner:
    """How the model is to answer: see `ChatEngine.answer`."""

    sampling: Sampling
    schema: dict[str, Any] | None
    alone: bool

    @property
    def written(self) -> bool:
        """Whether the model writes, whatever was found."""
        return self.alone or self.schema is not None


class ChatEngine:
    """A model, an index (or none), tools (or none) and filters (or none)."""

    def __init__(
        self,
        backend: Backend,
        retriever: Index | None,
        settings: ChatSettings,
        tools: ToolBox | None = None,
        guard: Guard | None = None,
        answering: Mapping[str, Answering] = {},
        templates: Mapping[str, str] = {},
        release: str = "",
        unreleased: str = "",
    ):
        """
        Args:
            answering: how each language is answered; those that are not named, by writing.
            templates: by language; those that are not named have their bundled ones.
            release: id of the release that all this is of, or "" and in `unreleased` what it is in words.
        """
        self.backend, self.retriever, self.settings = backend, retriever, settings
        self.tools, self.guard, self.answering, self.templates = tools, guard, answering, templates
        self.release, self.unreleased = release, unreleased
        self.asker, self.searched = Asker(), ""  # of a turn (see `during`): for whom, and what was searched by

    @property
    def weak_in(self) -> tuple[str, ...]:
        """Languages that the model is not to write."""
        return tuple(lang for lang, how in self.answering.items() if how == "quote")

    def conversation(self) -> Conversation:
        """A new conversation under these settings."""
        return Conversation(self.settings.system, self.settings.max_turns)

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
    ) -> Generator[Event, None, None]:
        """The events of one turn. Setting `stop` ends it where it is; closing the iterator also forgets it.

        Args:
            groups: whose documents may be seen, besides those that everybody may see.
            made: calls for this question that whoever asks has made already, with their results.
            salt: whose question it is; what the model remembers of prompts serves nobody else.
            schema: the answer is to be JSON of it, written by the model whatever was found, and so neither quoted nor cited.
            alone: the model alone answers: nothing is looked up, called, quoted or cited.

        Raises:
            MigakiError: the question does not fit the model's context, the schema cannot be enforced, or the backend failed.
        """
        turn, start = Turn(str(uuid.uuid4()), question, detect(question), calls=list(made)), time.perf_counter()
        stop = stop or threading.Event()
        here = self.during(salt, stop)
        turn.release, turn.unreleased, turn.index = self.release, self.unreleased, here.retriever.version if here.retriever else ""
        with _time_limit(stop, self.settings.seconds) as ran_out:
            yield from here._turn(turn, conversation, groups, stop, Manner(sampling or self.sampling(), schema, alone))
            turn.seconds = time.perf_counter() - start
            if stop.is_set():
                turn.finish = "timeout" if ran_out.is_set() else "stopped"
        turn.answer = turn.answer.strip()
        if turn.sources and not turn.refused and schema is None:
            yield from here._check(turn, groups)
        if turn.answer and not turn.refused:
            conversation.add("user", question)
            conversation.add("assistant", without_notices(turn.answer))
        yield Ended(turn)

    def during(self, salt: str, stop: threading.Event) -> "ChatEngine":
        """This engine in one turn of somebody: see `Backend.during`."""
        engine = copy.copy(self)
        engine.asker = Asker(salt, stop, frozenset([self.settings.system, *(said["content"] for said in EXAMPLE)]))
        engine.backend = self.backend.during(engine.asker)
        engine.retriever = self.retriever and self.retriever.standing()
        return engine

    def _check(self, turn: Turn, groups: frozenset[str]) -> Iterator[Event]:
        """Hold each sentence against the sources. Where none of them stands, or the language is answered so, the best sentences of the sources are quoted
        after the answer."""
        if turn.quoted:  # by the program, from the sources
            return
        turn.sentences = cite(turn.answer, turn.sources, self.settings.support)
        both = self.answering.get(turn.lang) == "write and quote"
        if turn.finish == "stop" and (both or not any(sentence.supported for sentence in turn.sentences)):
            quotes = self._quotes(turn, groups, len(turn.answer))
            quote = quoted(turn.lang, quotes)
            yield Piece(f"\n\n{quote}" if turn.answer else quote)
            turn.answer = f"{turn.answer}\n\n{quote}".strip()
            turn.sentences += _as_sentences(turn.lang, quotes)

    def sampling(self) -> Sampling:
        """What the settings say about generation."""
        return Sampling(**{name: getattr(self.settings, name) for name in asdict(Sampling()) if name in ChatSettings.model_fields})

    def _turn(
        self, turn: Turn, conversation: Conversation, groups: frozenset[str], stop: threading.Event, manner: Manner
    ) -> Iterator[Event]:
        decision = decide(self.guard, turn, "input", turn.question)
        if decision is not None and decision.blocked:
            yield from refuse(turn, decision, "input")
            return
        if not manner.alone:
            yield from self._find(turn, conversation, groups, stop)
        if not manner.written and self._needs_no_model(turn):
            yield from self._say(turn, self._written_for_it(turn, groups))
        else:
            yield from self._generate(turn, conversation, stop, manner)

    def _find(self, turn: Turn, conversation: Conversation, groups: frozenset[str], stop: threading.Event) -> Iterator[Event]:
        """What tools and documents say to the question."""
        yield from self._call_tools(turn, conversation, groups, stop)
        answered = any(returned.ok for _, returned in turn.calls)
        if self.retriever is not None and self.settings.chunks and not answered and not is_small_talk(turn.question):
            yield self._look_up(turn, self.retriever, [m["content"] for m in conversation.turns if m["role"] == "user"], groups)

    def _needs_no_model(self, turn: Turn) -> bool:
        """Whether the answer is said for the model: where nothing sure was found, where a tool's result is the answer, in a language that it is not to write."""
        weak = turn.lang in self.weak_in
        found = bool(turn.sources) or any(returned.ok for _, returned in turn.calls) or is_small_talk(turn.question)
        return turn.reason != "answered" or self._is_exact(turn) or (weak and found)

    def _say(self, turn: Turn, text: str) -> Iterator[Event]:
        turn.answer = text
        yield Piece(text)

    def _call_tools(self, turn: Turn, conversation: Conversation, groups: frozenset[str], stop: threading.Event) -> Iterator[Event]:
        if self.tools is None:
            return
        messages = [*conversation.turns, {"role": "user", "content": turn.question}]
        while len(turn.calls) < self.settings.max_calls and not stop.is_set():
            call = next_call(self.backend, messages, self.tools, turn.question, turn.calls, weak_in=self.weak_in)
            if call is None:
                return
            yield call
            returned = self.tools.call(call.name, call.arguments, given={"groups": groups})
            turn.calls.append((call, returned))
            yield returned

    def _look_up(self, turn: Turn, retriever: Index, earlier: list[str], groups: frozenset[str]) -> Found:
        """Search, and see how the answer is to end. Below the least confidence nothing counts as found; a chunk that the filters block is left out,
        whatever they note is kept."""
        count = self.settings.chunks
        search, rarity = partial(retriever.search, k=max(count, LOOKED_AT), groups=groups), partial(retriever.rarity, groups=groups)
        self.searched, hits = look_up(turn.question, earlier, search, rarity)
        turn.confidence = retriever.confidence(self.searched, hits, groups) if hits else 0.0
        limits = retriever.thresholds(self.searched, self.settings.cost_wrong)
        if turn.confidence >= limits.least:
            hits = hits[: count if turn.confidence >= limits.sure else max(count, NEAREST)]
            decisions = [decide(self.guard, turn, "document", hit.text) for hit in hits]
            hits = [hit for hit, decision in zip(hits, decisions, strict=True) if decision is None or not decision.blocked]
            turn.sources = [source_of(hit, number) for number, hit in enumerate(hits, 1)]
        if not turn.sources:
            turn.reason = "unanswered"
        elif turn.confidence < limits.sure:
            turn.reason = "unsure"
        return Found(tuple(turn.sources), turn.confidence)

    def _is_exact(self, turn: Turn) -> bool:
        """Whether the results of the calls are the answer, word for word."""
        tools = self.tools.tools if self.tools else {}
        return bool(turn.calls) and all(returned.ok and call.name in tools and tools[call.name].exact for call, returned in turn.calls)

    def _written_for_it(self, turn: Turn, groups: frozenset[str]) -> str:
        """An answer that the model does not write: the tools' results, the best sentences found, or that there are none."""
        language = languages()[turn.lang]
        results = [returned.content for _, returned in turn.calls if returned.ok]
        if results:
            return "\n".join(results)
        if turn.reason == "unanswered":
            return language.NOTHING_FOUND
        if not turn.sources:
            return language.GREETING
        quotes = self._quotes(turn, groups)
        turn.quoted, turn.sentences = True, _as_sentences(turn.lang, quotes)
        text = quoted(turn.lang, quotes)
        return f"{language.UNSURE}\n{text}" if turn.reason == "unsure" else f"{text}\n{language.QUOTING_BECAUSE}"

    def _quotes(self, turn: Turn, groups: frozenset[str], written: int = 0) -> list[Quote]:
        """The sentences of the sources to quote beside so many characters that are there already."""
        assert self.retriever is not None  # which found the sources
        read = self.retriever.sentences(self.searched, [source.chunk_id for source in turn.sources])
        room = languages()[turn.lang].QUOTE_CHARACTERS - written
        return best_sentences(self.searched, turn.sources, partial(self.retriever.rarity, groups=groups), read, room)

    def _generate(self, turn: Turn, conversation: Conversation, stop: threading.Event, manner: Manner) -> Iterator[Event]:
        if manner.schema is not None:
            # What is open after so many tokens is closed with as many again (`Backend.complete_json`): half of the context is left for the prompt.
            most = min(manner.sampling.max_new_tokens, (self.backend.context - CLOSING) // 4)
            messages = self._prompt(turn, conversation, 2 * most + CLOSING)
            yield from written(self.guard, turn, self._json(messages, manner.schema, most))
            return
        messages = self._prompt(turn, conversation, manner.sampling.max_new_tokens)
        with closing(self._knowing(turn).stream(messages, manner.sampling, stop)) as deltas:
            yield from written(self.guard, turn, deltas)

    def _json(self, messages: list[Message], schema: dict[str, Any], most: int) -> Iterator[Delta]:
        """The JSON text of a schema, in one piece. What the schema makes longer than its limit is cut."""
        text = self.backend.complete_json(messages, schema, "", most)
        tokens = self.backend.count_tokens([*messages, {"role": "assistant", "content": text}]) - self.backend.count_tokens(messages)
        yield Delta(text, tokens, "stop" if _is_json(text) else "length")

    def _knowing(self, turn: Turn) -> Backend:
        """The backend, told what the question begins with that everybody may read: the first notes, where they come from open documents."""
        open_first = 0 if turn.calls else next((i for i, source in enumerate(turn.sources) if source.restricted), len(turn.sources))
        notes = [as_data(source.text, self.backend.specials) for source in turn.sources]
        begun = notes_part(turn.question, notes, open_first, self.templates)
        return self.backend.during(replace(self.asker, own=self.asker.own | {begun})) if begun else self.backend

    def _prompt(self, turn: Turn, conversation: Conversation, answer: int) -> list[Message]:
        """System message, as much of the conversation as fits, and the question with its notes; notes that do not fit go before the question does.

        Args:
            answer: tokens that are left for the answer.

        Raises:
            MigakiError: the question alone does not fit.
        """
        notes = [as_data(f"{call.name}: {returned.content}", self.backend.specials) for call, returned in turn.calls]
        notes += [as_data(source.text, self.backend.specials) for source in turn.sources]
        room = self.backend.context - answer
        while True:
            question: Message = {"role": "user", "content": turn.question}
            last = with_context([question], notes, self.templates)[-1] if notes else question
            messages = [self._plain(message) for message in conversation.fitting(last, room, self.backend.count_tokens)]
            size = self.backend.count_tokens(messages)
            if size <= room:
                return messages
            if not notes:
                raise MigakiError(
                    f"the question takes {size} tokens; {room} are left of the model's context of {self.backend.context} beside an answer of "
                    f"{answer} (chat.max_new_tokens): ask in fewer words"
                )
            notes.pop()
            turn.sources = turn.sources[: max(0, len(notes) - len(turn.calls))]

    def _plain(self, message: Message) -> Message:
        """Nobody but the program opens or closes a message of the prompt."""
        return (
            message if message["role"] == "system" else message | {"content": without_delimiters(message["content"], self.backend.specials)}
        )


@contextmanager
def _time_limit(stop: threading.Event, seconds: float) -> Iterator[threading.Event]:
    """Sets `stop` after so many seconds; the event given tells that it did."""
    ran_out = threading.Event()

    def end() -> None:
        if not stop.is_set():
            ran_out.set()
            stop.set()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield ran_out
    finally:
        timer.cancel()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _as_sentences(lang: str, quotes: Sequence[Quote]) -> list[Sentence]:
    """Quotes stand in their sources by themselves."""
    return [Sentence(quote_line(lang, quote), (quote.source.number,), True) for quote in quotes]


def source_of(hit: Hit, number: int) -> Source:
    return Source(number, hit.chunk_id, hit.document, hit.title, hit.heading, hit.text, hit.lang, hit.score, hit.page, hit.restricted)
