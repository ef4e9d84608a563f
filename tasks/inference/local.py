"""A model of this process behind the chatbot: many users at once, their answers decoded together (`tasks.inference.batching`)."""

import copy
import threading
import weakref
from collections.abc import Generator, Iterator
from typing import Any, cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.backend import CLOSING, Asker, BackendStats, Delta, Sampling, Tally
from tasks.inference.batchable import can_batch
from tasks.inference.batching import BatchLimits, ContinuousBatch
from tasks.inference.decoding import Decoding
from tasks.inference.grammar import JsonGrammar, complete_json, option_logprobs
from tasks.inference.locks import ForwardLock
from tasks.inference.prefix_cache import common
from tasks.inference.request import Detokenizer, Request
from tasks.inference.rows import Row
from tasks.inference.unbatched import Unbatched
from tasks.models.families import context_length
from tasks.prompts.template import encode_prompt, stop_ids
from tasks.text.messages import Message

CONTEXT = 2048  # tokens, where the model's configuration does not say it


class LocalModel:
    """A causal language model of transformers, of any precision, that many threads may ask at once.

    At most `max_waiting` questions wait, first come first served. A model belongs to one `LocalModel`: passes by others must not run beside it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        *,
        limits: BatchLimits | None = None,
        max_waiting: int = 256,
    ):
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.context = context_length(model.config) or CONTEXT
        self.specials = tuple(tokenizer.all_special_tokens)
        self.batched = can_batch(model)
        self._ends = stop_ids(model, tokenizer)
        self._lock = ForwardLock(model)
        self._tally = Tally()
        self._asker, self._whole = Asker(), cast("LocalModel | None", None)
        self._decoding = Decoding(ContinuousBatch(model, limits), self._lock, max_waiting, self._tally)
        self._unbatched = Unbatched(model, tokenizer.pad_token_id, max_waiting, self._tally)
        # Called by `close`, or when nobody uses this any more, or at the program's end.
        self._end = weakref.finalize(self, _end, self._decoding, self._unbatched, self._lock)

    @property
    def stats(self) -> BackendStats:
        return self._tally.stats(waiting=len(self._decoding.waiting), running=len(self._decoding.running))

    @property
    def passes_over(self) -> frozenset[str]:
        return frozenset()

    def during(self, asker: Asker) -> "LocalModel":
        """See `Backend`."""
        view = copy.copy(self)
        view._asker, view._whole = asker, self  # the model is freed when nobody uses the whole any more
        return view

    def count_tokens(self, messages: list[Message]) -> int:
        return len(encode_prompt(self.tokenizer, messages))

    def stream(self, messages: list[Message], sampling: Sampling, stop: threading.Event) -> Generator[Delta, None, None]:
        """See `Backend`. An answer that reaches the end of the context ends there, with the reason `length`.

        Raises:
            MigakiError: the prompt alone fills the context; log-probabilities are asked of beams; too many wait; the model broke off.
        """
        prompt = self._fitting(encode_prompt(self.tokenizer, messages))
        yield from self._begin(prompt, sampling, stop, **self._shared(messages, prompt)).deltas()

    def go_on(self, prompt: list[int], sampling: Sampling, stop: threading.Event) -> Iterator[Delta]:
        """What comes after the tokens of a prompt, whatever they are. Begins at once, not when the first of it is asked for.

        Raises:
            MigakiError: as `stream`.
        """
        return self._begin(self._fitting(prompt), sampling, stop).deltas()

    def _begin(self, prompt: list[int], sampling: Sampling, stop: threading.Event, **shared: Any) -> Request:
        if sampling.logprobs is not None and sampling.num_beams > 1:
            raise MigakiError(
                f"logprobs with num_beams {sampling.num_beams}: beams are compared as wholes and tell no log-probabilities of tokens; "
                "take num_beams 1, or no logprobs"
            )
        limit = min(sampling.max_new_tokens, self.context - len(prompt))
        request = Request(Row(prompt, sampling, limit, self._ends, **shared), Detokenizer(self.tokenizer), stop)
        lane = self._decoding if self.batched and sampling.num_beams == 1 else self._unbatched
        lane.submit(request)
        return request

    def choose(self, messages: list[Message], options: list[str]) -> list[float]:
        """See `Backend`. The messages are read once for all options, and not at all where another request has begun with them.

        Raises:
            MigakiError: an option is empty; and as `stream`.
        """
        prompt = self._fitting(encode_prompt(self.tokenizer, messages), max((len(self._tokens(option)) for option in options), default=0))
        if not self.batched or not all(options):
            return option_logprobs(self.model, self.tokenizer, prompt, options)
        answers, shared = [self._tokens(option) for option in options], self._shared(messages, prompt)
        rows = [Row(prompt + answer, Sampling(), 0, self._ends, scored=len(answer), **shared) for answer in answers]
        self._decode(rows[:1])  # alone, so that the others find the prompt in the prefix cache
        self._decode(rows[1:])
        return [row.logprob for row in rows]

    def complete_json(self, messages: list[Message], schema: dict[str, Any], prefix: str, max_new_tokens: int) -> str:
        """See `Backend`. Past `max_new_tokens` the text is brought to its end.

        Raises:
            MigakiError: the schema cannot be enforced; and as `stream`.
        """
        limit = 2 * max_new_tokens + CLOSING
        prompt = self._fitting(encode_prompt(self.tokenizer, messages) + self._tokens(prefix), limit)
        if not self.batched:
            return complete_json(self.model, self.tokenizer, prompt, schema, max_new_tokens)
        grammar = JsonGrammar(self.tokenizer, schema, max_new_tokens)
        grammar.add(grammar.forced())
        if not grammar.whole:
            greedy = Sampling(temperature=0.0, no_repeat_ngram=0)
            shared = self._shared(messages, prompt)
            self._decode([Row(prompt + grammar.answer, greedy, limit - len(grammar.answer), self._ends, grammar, **shared)])
        return grammar.text

    def _shared(self, messages: list[Message], prompt: list[int]) -> dict[str, Any]:
        """`salt` and `head` of a prompt's rows: what the program says itself, or everybody may read, may have been read for somebody else."""
        own = next((place for place, message in enumerate(messages) if message["content"] not in self._asker.own), len(messages))
        shared = list(messages[:own])
        if own < len(messages):
            begun = [text for text in self._asker.own if messages[own]["content"].startswith(text)]
            if begun:
                shared.append(messages[own] | {"content": max(begun, key=len)})
        return {"salt": self._asker.salt, "head": common(self._begun(shared), prompt) if shared else 0}

    def _begun(self, messages: list[Message]) -> list[int]:
        """Ids of the first messages of a prompt; none where the template does not write them without a question behind."""
        try:
            return encode_prompt(self.tokenizer, messages)
        except MigakiError:
            return []

    def _decode(self, rows: list[Row]) -> None:
        """Wait until rows that nobody reads have ended, or the turn has."""
        requests = [Request(row, Detokenizer(self.tokenizer), self._asker.stop) for row in rows]
        for request in requests:
            self._decoding.submit(request)
        for request in requests:
            list(request.deltas())

    def _fitting(self, prompt: list[int], room: int = 1) -> list[int]:
        """The prompt, after which there is `room` for more tokens."""
        if len(prompt) + room > self.context:
            raise MigakiError(f"the prompt takes {len(prompt)} tokens of the {self.context} that {self.name[:12]} can read: shorten it")
        return prompt

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def close(self) -> None:
        """Free the model; answers in flight fail."""
        self._end()


def _end(decoding: Decoding, unbatched: Unbatched, lock: ForwardLock) -> None:
    decoding.close()
    unbatched.close()
    lock.remove()
