"""A request for an answer: its row, the one who waits for it, and its tokens as text."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.backend import Delta, Reason, TokenLogprob, Unavailable
from tasks.inference.rows import Likelihood, Row

BROKEN = "\ufffd"
LONGEST_CHARACTER = 8  # tokens; what is still no character after so many never becomes one
CLOSED = "the model was closed: it answers no more"
CROWDED = "{} questions are waiting already, the most there may be: ask again in a moment"


class Detokenizer:
    """Tokens to text, as they come. What is not a whole character yet is held back: a Japanese one may take three tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self._from, self._said = 0, 0  # text is decoded from the one token on, and said up to the other

    def add(self, token: int) -> str:
        self.ids.append(token)
        before, text = self._texts()
        if text.endswith(BROKEN) and len(self.ids) - self._said < LONGEST_CHARACTER:
            return ""
        self._from, self._said = self._said, len(self.ids)
        return text[len(before) :]

    def logprob(self, found: Likelihood) -> TokenLogprob | None:
        """The token that was added last, and those in its place, as text; None where it is none (a special token)."""
        text = self._alone(self.ids[-1])
        others = tuple((self._alone(token) or str(self.tokenizer.convert_ids_to_tokens(token)), nats) for token, nats in found.top)
        return TokenLogprob(text, found.logprob, others) if text else None

    def _alone(self, token: int) -> str:
        """The text of a token in the last one's place: behind the one before it, as some tokenizers leave out the space of a first one."""
        before = self.ids[-2:-1]
        known, text = self._decode(before), self._decode([*before, token])
        return text[len(known) :] if text.startswith(known) else self._decode([token])

    def flush(self) -> str:
        """What was held back, without a character that is cut off."""
        before, text = self._texts()
        self._said = len(self.ids)
        return text[len(before) :].rstrip(BROKEN)

    def _texts(self) -> tuple[str, str]:
        """Some tokens before are decoded again: what a token's text is can depend on its neighbour (spaces, in some tokenizers)."""
        return self._decode(self.ids[self._from : self._said]), self._decode(self.ids[self._from :])

    def _decode(self, ids: list[int]) -> str:
        return cast(str, self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@dataclass(eq=False)
class Request:
    """A row and the one who waits for it."""

    row: Row
    detokenizer: Detokenizer
    stop: threading.Event
    left: threading.Event = field(default_factory=threading.Event)  # nobody reads on
    out: "queue.SimpleQueue[Delta | MigakiError]" = field(default_factory=queue.SimpleQueue)
    untold: int = 0  # tokens generated since the last delta
    logprobs: list[TokenLogprob] = field(default_factory=list)  # of those

    @property
    def unwanted(self) -> bool:
        return self.stop.is_set() or self.left.is_set()

    def deltas(self) -> Iterator[Delta]:
        """What comes, to the end. Leaving early says that nobody reads on."""
        try:
            while True:
                delta = self.out.get()
                if isinstance(delta, MigakiError):
                    raise delta
                yield delta
                if delta.reason:
                    return
        finally:
            self.left.set()

    def add(self, token: int) -> None:
        """A token was generated (and is in the row)."""
        self.untold += 1
        if token in self.row.ends:
            return
        text = self.detokenizer.add(token)
        if self.row.likelihood and (told := self.detokenizer.logprob(self.row.likelihood)):
            self.logprobs.append(told)
        if text:
            self.out.put(Delta(text, self.untold, None, tuple(self.logprobs)))
            self.untold, self.logprobs = 0, []

    def end(self, reason: Reason) -> None:
        text = self.detokenizer.flush()
        self.out.put(Delta(text, self.untold, reason, tuple(self.logprobs) if text else ()))

    def fail(self, error: Exception) -> None:
        if not isinstance(error, MigakiError):
            detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            told = Unavailable(f"the model broke off while answering ({detail}); it goes on with other questions, ask again")
            told.__cause__ = error
            error = told
        self.out.put(error)
