"""Where answers are generated: a model in this process, or a server that speaks OpenAI's protocol."""

import threading
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from tasks.errors import MigakiError
from tasks.text.messages import Message

CLOSING = 64  # tokens that a JSON text may take to its end at least, see `Backend.complete_json`
Reason = Literal["stop", "length", "timeout", "stopped", "refused"]  # why writing stopped; refused: a server's own content filter


class Unavailable(MigakiError):
    """The model answers nobody at the moment: whoever asks can but ask again later."""


@dataclass(frozen=True)
class Sampling:
    """How one answer is generated; the fields are those of `ChatSettings`. Without a `seed`, answers differ from run to run."""

    max_new_tokens: int = 96
    temperature: float = 0.3
    top_k: int = 50
    top_p: float = 0.9
    num_beams: int = 1
    no_repeat_ngram: int = 4
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    logprobs: int | None = None  # log-probabilities of the tokens are told, and of so many of the likeliest in the place of each


@dataclass(frozen=True)
class Asker:
    """For whom a backend works: one turn of one person."""

    salt: str = ""  # what is remembered of their prompts is of use to nobody with another one
    stop: threading.Event = field(default_factory=threading.Event)  # ends choosing and completing too
    # Messages, or what messages begin with, that hold nobody's text: the program says them itself, or everybody may read them.
    own: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TokenLogprob:
    """A token of an answer as text, with its log-probability (nats), and the likeliest in its place, best first.

    They are the model's own: before temperature, penalties, truncation and grammars. A token that is a part of a character is "\ufffd".
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Delta:
    """Text that was just generated and the tokens it took; the last of an answer says the `reason` it ended.

    `logprobs`, where the sampling asks for them, are of the tokens that the text is made of: none of those that end an answer.
    """

    text: str
    tokens: int
    reason: Reason | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class BackendStats:
    """What a backend has done since it started, and what it is doing now."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0  # of the prompts', those that had been read for an earlier request
    tokens: int = 0  # generated
    steps: int = 0
    waiting: int = 0  # requests that no row is free for
    running: int = 0  # rows decoded together


class Tally:
    """Counts for `BackendStats` that any thread may add to."""

    def __init__(self) -> None:
        self._lock, self._stats = threading.Lock(), BackendStats()

    def add(self, **more: int) -> None:
        with self._lock:
            self._stats = replace(self._stats, **{name: getattr(self._stats, name) + number for name, number in more.items()})

    def stats(self, **now: int) -> BackendStats:
        """The counts, and what is true now."""
        with self._lock:
            return replace(self._stats, **now)


class Backend(Protocol):
    """What the engine needs of a model. Safe to call from several threads at once."""

    name: str
    context: int  # tokens of prompt and answer together
    specials: tuple[str, ...]  # texts of its special tokens, which must not come from outside

    @property
    def passes_over(self) -> frozenset[str]:
        """Fields of `Sampling` that it does not heed."""
        ...

    @property
    def stats(self) -> BackendStats: ...

    def close(self) -> None:
        """Free the model, or end the connections to it."""
        ...

    def during(self, asker: Asker) -> "Backend":
        """This backend, as it works in one turn of one person."""
        ...

    def count_tokens(self, messages: list[Message]) -> int:
        """Tokens of the prompt that these messages become."""
        ...

    def stream(self, messages: list[Message], sampling: Sampling, stop: threading.Event) -> Generator[Delta, None, None]:
        """Generate an answer. Setting `stop` ends it soon; so does closing the generator."""
        ...

    def choose(self, messages: list[Message], options: list[str]) -> list[float]:
        """Log-likelihood (nats, summed over tokens) of each option as the answer to these messages."""
        ...

    def complete_json(self, messages: list[Message], schema: dict[str, Any], prefix: str, max_new_tokens: int) -> str:
        """A JSON text that fits the schema, decoded greedily under a grammar as the answer that begins with `prefix`.

        After `max_new_tokens` it is brought to its end, within as many again and `CLOSING`.
        """
        ...
