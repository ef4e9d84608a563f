"""A server without a model: an engine that plays a script, and a keeper of conversations in memory."""

import dataclasses
import json
import threading
import uuid
from collections.abc import Iterator

from starlette.testclient import TestClient

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.events import Ended, Event, Found, Piece, Refused, Sentence, ShownToken, Source, Turn
from tasks.chatbot.language import languages
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.web.about import About
from tasks.chatbot.web.app import create_app
from tasks.chatbot.web.approvals import NotDecided, approval_routes
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import NO_TOKENS
from tasks.errors import MigakiError
from tasks.inference.backend import BackendStats, Sampling, TokenLogprob, Unavailable

SOURCE = Source(
    1, "c1", "tuning.md", "Fine-tuning", "Fine-tuning > LoRA", "LoRA trains two small matrices <b>beside</b> each layer.", "en", 4.25, 3
)
JA_SOURCE = Source(
    2, "c2", "量子化.md", "量子化", "量子化 > 仕組み", "量子化は重みのビット数を減らします。精度は少し下がります。", "ja", 3.1
)
ABOUT = About("SmolLM2-135M-Instruct", "3fa9c1d2e4b5", "int8", "9b12aa00ff31", 14, 1_700_000_000)
EN = ("LoRA trains two small matrices. ", "It needs **no** copy of the model. ", "Use `r=8` to begin with:\n\n- small\n- fast")
JSON = '{"title": "LoRA"}'
JA = ("量子化は重みのビット数を減らします。", "速度は十倍になります。")


class Backend:
    name, context, stats = "scripted", 2048, BackendStats(requests=7, reused_tokens=40, running=2)
    passes_over = frozenset()

    def count_tokens(self, messages):
        return sum(len(message["content"]) for message in messages)


class ScriptedEngine:
    """Answers by what the question holds; `between` runs before every piece."""

    retriever = guard = None
    weak_in = ()

    def __init__(self, between=lambda: None, endless=False):
        self.backend, self.settings, self.between, self.endless = Backend(), ChatSettings(system="Be brief."), between, endless
        self.heard: list[tuple[Conversation, str, frozenset, object]] = []
        self.stops: list[threading.Event] = []
        self.manners: list[tuple[dict | None, bool]] = []  # the schema of an answer, and whether the model alone gave it

    def answer(
        self, conversation, question, groups=frozenset(), stop=None, sampling=None, made=(), salt="", schema=None, alone=False
    ) -> Iterator[Event]:
        self.heard.append((dataclasses.replace(conversation, turns=list(conversation.turns)), question, groups, sampling))
        self.stops.append(stop)
        self.manners.append((schema, alone))
        turn = Turn(str(uuid.uuid4()), question, "ja" if any("ぁ" <= c <= "鿿" for c in question) else "en")
        if "explode" in question:
            raise RuntimeError("the secret of the server")
        if "too much" in question:
            raise MigakiError("the question takes 9000 tokens: ask in fewer words")
        if "nobody home" in question:
            raise Unavailable("no server answers at http://10.0.0.7/v1")
        if "bomb" in question:
            yield from self._refuse(turn)
            return
        turn.calls = list(made)
        if schema is not None or alone:
            yield from self._write(turn, [JSON if schema else "A title"], stop)
            return
        if "unknown" in question:
            turn.reason, turn.answer, turn.confidence = "unanswered", "The documents do not answer this.", 0.04
            yield from (Found((), 0.04), Piece(turn.answer), Ended(turn))
            return
        turn.sources, turn.confidence = [SOURCE, JA_SOURCE], 0.87
        if "perhaps" in question:
            turn.reason, turn.quoted, turn.confidence = "unsure", True, 0.25
        yield Found(tuple(turn.sources), turn.confidence)
        if "reckon" in question:
            call = Called("calculate", {"expression": "6 * 7"}), Returned("calculate", True, "42")
            turn.calls.append(call)
            yield from call
        yield from self._write(turn, self._pieces(turn), stop, sampling)

    def during(self, salt, stop):
        return self

    def sampling(self):
        return Sampling()

    def _pieces(self, turn):
        if turn.calls and "reckon" not in turn.question:
            return [f"{called.name}: {returned.content}" for called, returned in turn.calls]
        if "echo" in turn.question:
            return [turn.question]
        if turn.reason == "unsure":
            return [f"{languages()[turn.lang].UNSURE}\n", f"From “{SOURCE.title}”: {SOURCE.text}"]
        return JA if turn.lang == "ja" else EN

    def _write(self, turn, pieces, stop, sampling=None):
        told = sampling is not None and sampling.logprobs is not None and turn.reason == "answered"
        pieces = iter(lambda: "and on ", None) if self.endless else pieces
        for piece in pieces:
            self.between()
            if stop is not None and stop.is_set():
                turn.finish = "stopped"
                break
            turn.answer, turn.tokens = turn.answer + piece, turn.tokens + 1
            yield Piece(piece, words_of(piece, sampling.logprobs) if told else ())
        turn.sentences = [
            Sentence(text.strip(), (1,) if i == 0 else (), i == 0) for i, text in enumerate(pieces if turn.finish == "stop" else [])
        ]
        yield Ended(turn)

    def _refuse(self, turn):
        turn.refused, turn.reason, turn.answer = "harm.weapons", "refused", "I cannot help with that."
        yield Refused("harm.weapons", "input")
        yield Piece(turn.answer)
        yield Ended(turn)


def words_of(piece, top):
    """The words of a piece as its tokens, each as likely as it is short."""
    words, at, tokens = piece.split(" "), 0, []
    for word in words:
        at += len(word) + 1
        others = tuple((f"{word}{i}", -1.0 - i) for i in range(top))
        tokens.append(ShownToken(min(at, len(piece)), TokenLogprob(word, -float(len(word)), others)))
    return tuple(tokens)


class MemoryChats:
    """What flows/serve.py gives in earnest."""

    def __init__(self):
        self.owners, self.titles, self.turns, self.ratings, self.noted = {}, {}, {}, {}, []

    def begin(self, owner, title):
        conversation = str(uuid.uuid4())
        self.owners[conversation], self.titles[conversation], self.turns[conversation] = owner, title, []
        return conversation

    def keep(self, conversation_id, turn):
        self.turns[conversation_id].append(turn)

    def note(self, turn):
        self.noted.append(turn.refused)

    def conversations(self, owner):
        own = [c for c, who in self.owners.items() if who == owner]
        return [{"id": c, "title": self.titles[c], "last": "2026-01-02T03:04:05"} for c in reversed(own)]

    def messages(self, conversation_id, owner):
        self._check(conversation_id, owner)
        found = []
        for turn in self.turns[conversation_id]:
            rated = self.ratings.get(turn.turn_id, (0, None))
            found += [
                {"role": "user", "content": turn.question},
                dataclasses.asdict(turn) | {"role": "assistant", "content": turn.answer, "rating": rated[0], "correction": rated[1]},
            ]
        return found

    def delete(self, conversation_id, user):
        self._check(conversation_id, user.owner)
        del self.owners[conversation_id]

    def rate(self, turn_id, owner, rating, correction):
        own = [turn.turn_id for c, turns in self.turns.items() if self.owners.get(c) == owner for turn in turns]
        if turn_id not in own:
            raise LookupError(turn_id)
        self.ratings[turn_id] = (rating, correction)

    def _check(self, conversation_id, owner):
        if conversation_id not in self.owners or self.owners[conversation_id] != owner:
            raise LookupError(conversation_id)


class MemoryApprovals:
    """What flows/serving/decisions.py gives in earnest."""

    def __init__(self, *waits: str):
        self.waits, self.words = list(waits), []
        self.against: tuple[str, str] = ("", "")

    def waiting(self):
        figures = {"metric": "utility", "difference": 0.031, "low": -0.05, "high": 0.11, "items": 48, "smallest": 0.11, "needed": 90}
        times = {"since": "2026-11-30T03:00:00", "until": "2026-12-14T03:00:00"}
        told = {"would": "inconclusive", "reason": "the interval holds zero: <b>utility</b>", "release": "5c0ffee5c0ffee"}
        return [figures | times | told | {"id": one, "against": self.against[0], "against_why": self.against[1]} for one in self.waits]

    def conversations(self, id):
        self._check(id)
        said = {"suite": "answerable", "accepted": "1,200 °C", "before": {"answer": "I do not know.", "verdict": "unanswered"}}
        asked = [
            ("en", "How hot is the kiln? <img src=x onerror=alert(1)>", "It is **1,200 °C**."),
            ("ja", "窯の温度は?", "1,200 °Cです。"),
        ]
        return {
            "held_against": "champion",
            "conversations": [
                said | {"lang": lang, "question": question, "after": {"answer": answer, "verdict": "right"}}
                for lang, question, answer in asked
            ],
        }

    def decide(self, id, what, user, why):
        self._check(id)
        if what == "approve" and self.against[0]:
            raise NotDecided(*self.against)
        self.waits.remove(id)
        self.words.append((id, what, user.name, why))

    def _check(self, id):
        if id not in self.waits:
            raise NotDecided("unknown", f"no decision waits whose id begins with {id!r}")


def app(engine=None, chats=None, tokens=None, approvals=None, **settings):
    made = create_app(engine or ScriptedEngine(), chats or MemoryChats(), ABOUT, ServeSettings(**settings), tokens or NO_TOKENS)
    made.include_router(approval_routes(approvals or MemoryApprovals()))
    return made


def client(*arguments, headers=None, **settings) -> TestClient:
    return TestClient(app(*arguments, **settings), base_url="http://127.0.0.1:8400", headers=headers, raise_server_exceptions=False)


def read_sse(text: str) -> list[tuple[str, dict]]:
    """(event, data) of a stream of server-sent events; comments left out."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        named = dict(line.split(": ", 1) for line in lines)
        if "data" in named:
            events.append((named.get("event", "message"), json.loads(named["data"]) if named["data"] != "[DONE]" else {"done": True}))
    return events


def ask(http: TestClient, question: str, conversation: str | None = None) -> list[tuple[str, dict]]:
    answer = http.post("/api/chat", json={"question": question, "conversation": conversation})
    assert answer.status_code == 200, answer.text
    return read_sse(answer.text)
