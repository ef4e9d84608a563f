"""Answers that cannot be decoded together, one at a time through transformers' `generate`.

Beam search knows what it says only at its end, and some architectures keep a cache of their own kind. The passes take turns with those of
the batch, whose answers go on.
"""

import threading

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel, StoppingCriteria

from tasks.inference.backend import Reason, Tally, Unavailable
from tasks.inference.beams import beam_search, generate
from tasks.inference.request import CLOSED, CROWDED, Request
from tasks.inference.rows import Row, next_tokens

POLL = 0.1  # seconds


class _DrawAsBatch(LogitsProcessor):
    """The next token as a batch draws it, made the only one that is possible."""

    def __init__(self, row: Row):
        self.row = row

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        (token,) = next_tokens(scores.float().clone(), [self.row])
        return torch.full_like(scores, float("-inf")).index_fill_(1, torch.tensor([token], device=scores.device), 0.0)


class _Stream(StoppingCriteria):
    """Hands on each token, and stops when nobody wants more."""

    def __init__(self, request: Request, streams: bool):
        self.request, self.streams = request, streams

    def __call__(self, input_ids: Tensor, *_: object, **__: object) -> Tensor:
        if self.streams:
            token = int(input_ids[0, -1])
            self.request.row.add(token)
            self.request.add(token)
        return torch.full((len(input_ids),), self.request.unwanted or self.request.row.reason is not None, device=input_ids.device)


class Unbatched:
    """A thread for each answer, of which one works. All have ended when `close` returns: a thread inside torch must not outlive the program."""

    def __init__(self, model: PreTrainedModel, pad_id: int, max_waiting: int, tally: Tally):
        self.model, self.pad_id, self.max_waiting, self.tally = model, pad_id, max_waiting, tally
        self._guard, self._turn = threading.Lock(), threading.Lock()
        self._live: dict[Request, threading.Thread] = {}
        self._closed = False

    def submit(self, request: Request) -> None:
        thread = threading.Thread(target=self._run, args=(request,), name="generate", daemon=True)
        with self._guard:
            if self._closed:
                raise Unavailable(CLOSED)
            if len(self._live) > self.max_waiting:
                raise Unavailable(CROWDED.format(self.max_waiting))
            self._live[request] = thread
            self.tally.add(requests=1, prompt_tokens=len(request.row.prompt))
            thread.start()

    def close(self) -> None:
        with self._guard:
            self._closed = True
            live = dict(self._live)
        for request, thread in live.items():
            request.left.set()
            thread.join()

    def _run(self, request: Request) -> None:
        """What became of a request is counted before it is told."""
        try:
            reason = self._wait_and_generate(request)
        except Exception as error:
            self.tally.add(tokens=len(request.row.answer), failed=1)
            request.fail(error)
        else:
            self.tally.add(tokens=len(request.row.answer))
            request.end(reason)
        finally:
            with self._guard:
                del self._live[request]

    def _wait_and_generate(self, request: Request) -> Reason:
        while not self._turn.acquire(timeout=POLL):
            if request.unwanted:
                return "stopped"
        try:
            return self._generate(request)
        finally:
            self._turn.release()

    def _generate(self, request: Request) -> Reason:
        """Why it ended."""
        row = request.row
        if row.sampling.num_beams == 1:
            generate(self.model, [row.prompt], _DrawAsBatch(row), row.limit, row.ends, self.pad_id, [_Stream(request, True)])
            return row.reason or "stopped"
        [answer] = beam_search(self.model, [row.prompt], row.sampling, row.limit, row.ends, self.pad_id, [_Stream(request, False)])
        for token in answer:
            row.add(token)
            request.add(token)
        return row.reason or "stopped"
