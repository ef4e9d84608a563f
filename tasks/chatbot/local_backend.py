"""A model of this process behind the chatbot: many users at once, one decoding thread.

Answers are decoded together (`tasks.chatbot.batching`). Beam search, where nothing can be streamed, and architectures that cannot be batched
go through transformers' `generate`, one at a time, while the others' answers go on.
"""

import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tasks.chatbot.backends import BackendStats, Delta, Sampling
from tasks.chatbot.batching import Batch, Row, can_batch, next_tokens, repeats
from tasks.chatbot.conversation import Message
from tasks.chatbot.events import Reason
from tasks.chatbot.turns import OneAtATime
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.likelihood import score_examples
from tasks.prompts.template import encode_prompt, end_ids

BROKEN = "\ufffd"
LONGEST_CHARACTER = 8  # tokens; what is still no character after so many never becomes one
POLL = 0.1  # seconds


class Pieces:
    """Tokens to text, as they come. What is not a whole character yet is held back: a Japanese one may take three tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer, self.ids = tokenizer, []
        self._from, self._said = 0, 0  # text is decoded from the one token on, and said up to the other

    def add(self, token: int) -> str:
        self.ids.append(token)
        before, text = self._texts()
        if text.endswith(BROKEN) and len(self.ids) - self._said < LONGEST_CHARACTER:
            return ""
        self._from, self._said = self._said, len(self.ids)
        return text[len(before) :]

    def rest(self) -> str:
        """What was held back, without a character that is cut off."""
        before, text = self._texts()
        self._said = len(self.ids)
        return text[len(before) :].rstrip(BROKEN)

    def _texts(self) -> tuple[str, str]:
        """Some tokens before are decoded again: what a token's text is can depend on its neighbour (spaces, in some tokenizers)."""
        return self._decode(self.ids[self._from : self._said]), self._decode(self.ids[self._from :])

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@dataclass(eq=False)
class _Request:
    """A row and the one who waits for it."""

    row: Row
    pieces: Pieces
    stop: threading.Event
    left: threading.Event = field(default_factory=threading.Event)  # nobody reads on
    out: "queue.SimpleQueue[Delta | MigakiError]" = field(default_factory=queue.SimpleQueue)
    untold: int = 0  # tokens generated since the last delta

    @property
    def unwanted(self) -> bool:
        return self.stop.is_set() or self.left.is_set() or not threading.main_thread().is_alive()

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
        if token not in self.row.ends and (text := self.pieces.add(token)):
            self.out.put(Delta(text, self.untold))
            self.untold = 0

    def end(self, reason: Reason) -> None:
        self.out.put(Delta(self.pieces.rest(), self.untold, reason))

    def fail(self, error: BaseException) -> None:
        detail = f": {error}" if str(error) else ""
        told = MigakiError(
            f"the model broke off while answering ({type(error).__name__}{detail}); other answers are not affected, ask again"
        )
        told.__cause__ = error
        self.out.put(told)


class _Decoding:
    """The decoding thread and what waits for it. Knows nothing of `LocalModel`, so that one which nobody uses any more can end it."""

    def __init__(self, batch: Batch, turns: OneAtATime, max_waiting: int):
        self.batch, self.turns, self.max_waiting = batch, turns, max_waiting
        self.waiting: deque[_Request] = deque()
        self.running: dict[Row, _Request] = {}
        self.stats = BackendStats()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, request: _Request) -> None:
        with self._changed:
            if self._closed:
                raise MigakiError("the model was closed: it takes no more questions")
            if len(self.waiting) >= self.max_waiting:
                raise MigakiError(f"{len(self.waiting)} questions are waiting already, the most there may be: ask again in a moment")
            self.waiting.append(request)
            self._count(requests=1, prompt_tokens=len(request.row.prompt))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the thread; what it was answering fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait():
                try:
                    self._admit()
                    self._step()
                except Exception as error:
                    self._fail(error)
        finally:
            self._fail(MigakiError("the model was closed"), everyone=True)

    def _wait(self) -> bool:
        """Sleep until there is something to do. False when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.waiting or self.running)
            return not self._closed

    def _admit(self) -> None:
        """Those who are not wanted any more go; those who waited longest join while there is room."""
        with self._changed:
            for request in [request for request in self.waiting if request.unwanted]:
                self.waiting.remove(request)
                request.end("stopped")
        for row in [row for row, request in self.running.items() if request.unwanted]:
            row.reason = "stopped"
            self._let_go(row)
        while self.waiting and self.batch.has_room(self.waiting[0].row):
            request = self.waiting.popleft()
            self.running[request.row] = request
            self.batch.join(request.row)

    def _step(self) -> None:
        if not self.running:
            return
        with self.turns.priority():
            given = self.batch.step()
        for row, token in given:
            self.running[row].add(token)
        for row in [row for row in self.running if row.reason]:
            self._let_go(row)
        self._count(tokens=len(given), steps=1)

    def _let_go(self, row: Row) -> None:
        self.batch.leave(row)
        self._count(reused_tokens=row.reused)
        self.running.pop(row).end(row.reason)

    def _fail(self, error: Exception, everyone: bool = False) -> None:
        """Those who are being answered fail, or `everyone`, those who wait too."""
        with self._changed:
            failed = [*self.running.values(), *(self.waiting if everyone else ())]
            self.running = {}
            if everyone:
                self.waiting.clear()
        self.batch.clear()
        self._count(failed=len(failed))
        for request in failed:
            request.fail(error)

    def _count(self, **more: int) -> None:
        with self._changed:
            self.stats = replace(self.stats, **{name: getattr(self.stats, name) + number for name, number in more.items()})


class _Restrain(LogitsProcessor):
    """No run of tokens twice in an answer, for `generate`: transformers' own counts the prompt's too, which forbids quoting it."""

    def __init__(self, prompt: int, size: int):
        self.prompt, self.size = prompt, size

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        for ids, line in zip(input_ids[:, self.prompt :].tolist(), scores, strict=True):
            line[repeats(ids, self.size)] = float("-inf")
        return scores


class _Draw(LogitsProcessor):
    """The next token as a batch draws it, made the only one that is possible."""

    def __init__(self, row: Row):
        self.row = row

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        (token,) = next_tokens(scores.float().clone(), [self.row])
        return torch.full_like(scores, float("-inf")).index_fill_(1, torch.tensor([token], device=scores.device), 0.0)


class _Tell(StoppingCriteria):
    """Hands on each token, and stops when nobody wants more."""

    def __init__(self, request: _Request, streams: bool):
        self.request, self.streams = request, streams

    def __call__(self, input_ids: Tensor, *_: object, **__: object) -> Tensor:
        if self.streams:
            token = int(input_ids[0, -1])
            self.request.row.add(token)
            self.request.add(token)
        return torch.full((len(input_ids),), self.request.unwanted or self.request.row.reason is not None, device=input_ids.device)


class LocalModel:
    """A causal language model of transformers, of any precision, that many threads may ask at once.

    At most `max_batch` answers are decoded together and `max_waiting` questions wait, first come first served. See `Batch` for the other
    sizes. A model belongs to one `LocalModel`: passes by others must not run beside it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        *,
        max_batch: int = 16,
        max_waiting: int = 256,
        chunk: int = 128,
        cache_bytes: int = 2 << 30,
        kept_tokens: int = 4096,
    ):
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.context = getattr(model.config.get_text_config(), "max_position_embeddings", 2048)
        self.batched = can_batch(model)
        self._ends = end_ids(tokenizer)
        self._turns = OneAtATime(model)
        self._alone = threading.Lock()
        self._decoding = _Decoding(Batch(model, max_batch, chunk, cache_bytes, kept_tokens), self._turns, max_waiting)
        self._end = weakref.finalize(self, self._decoding.close)  # also at the end of the program

    @property
    def stats(self) -> BackendStats:
        return replace(self._decoding.stats, waiting=len(self._decoding.waiting), running=len(self._decoding.running))

    def count_tokens(self, messages: list[Message]) -> int:
        return len(encode_prompt(self.tokenizer, messages))

    def stream(self, messages: list[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Delta]:
        """See `Backend`. An answer that reaches the end of the context ends there, with the reason `length`.

        Raises:
            MigakiError: the prompt alone fills the context; too many wait; the model broke off.
        """
        prompt = encode_prompt(self.tokenizer, messages)
        limit = min(sampling.max_new_tokens, self.context - len(prompt))
        if limit < 1:
            raise MigakiError(f"the prompt takes {len(prompt)} tokens of the {self.context} that {self.name} can read: shorten it")
        request = _Request(Row(prompt, sampling, limit, self._ends), Pieces(self.tokenizer), stop)
        if self.batched and sampling.num_beams == 1:
            self._decoding.submit(request)
            yield from request.deltas()
        else:
            yield from self._generated(request)

    def choose(self, messages: list[Message], options: list[str]) -> list[float]:
        """See `Backend`. The messages are read once for all options, and not at all where another request has begun with them."""
        prompt = encode_prompt(self.tokenizer, messages)
        answers = [self.tokenizer(option, add_special_tokens=False)["input_ids"] for option in options]
        if not self.batched:
            examples = [Example(prompt + answer, len(prompt)) for answer in answers]
            return [-score.nll for score in score_examples(self.model, examples)]
        rows = [Row(prompt + answer, Sampling(), 0, self._ends, scored=len(answer)) for answer in answers]
        for part in (rows[:1], rows[1:]):  # the others find what the first has read
            requests = [_Request(row, Pieces(self.tokenizer), threading.Event()) for row in part]
            for request in requests:
                self._decoding.submit(request)
            for request in requests:
                list(request.deltas())
        return [row.logprob for row in rows]

    def close(self) -> None:
        """End the decoding thread; answers in flight fail."""
        self._end()
        self._turns.remove()

    def _generated(self, request: _Request) -> Iterator[Delta]:
        """The deltas of an answer that `generate` makes in a thread of its own, which is over when this is."""
        thread = threading.Thread(target=self._generate_alone, args=(request,), name="generate")
        thread.start()
        try:
            yield from request.deltas()
        finally:
            thread.join()

    def _generate_alone(self, request: _Request) -> None:
        while not self._alone.acquire(timeout=POLL):
            if request.unwanted:
                return request.end("stopped")
        try:
            self._generate(request)
        except Exception as error:
            request.fail(error)
        finally:
            self._alone.release()

    def _generate(self, request: _Request) -> None:
        row, beams = request.row, request.row.sampling.num_beams
        out = self.model.generate(
            torch.tensor([row.prompt], device=self.model.device),
            attention_mask=torch.ones(1, len(row.prompt), dtype=torch.long, device=self.model.device),
            generation_config=GenerationConfig(
                max_new_tokens=row.limit,
                num_beams=beams,
                do_sample=False,
                eos_token_id=sorted(row.ends),
                pad_token_id=self.tokenizer.pad_token_id,
            ),
            logits_processor=LogitsProcessorList([_Draw(row) if beams == 1 else _Restrain(len(row.prompt), row.sampling.no_repeat_ngram)]),
            stopping_criteria=StoppingCriteriaList([_Tell(request, beams == 1)]),
        )
        if beams > 1:
            for token in out[0, len(row.prompt) :].tolist():
                if not row.reason:
                    row.add(token)
                    request.add(token)
        request.end(row.reason or "stopped")
