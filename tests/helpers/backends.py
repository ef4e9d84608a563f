"""Asking a backend, and waiting for what another thread does."""

import threading
import time
from collections.abc import Callable

from tasks.inference.backend import Backend, Sampling
from tasks.text.messages import Message

GREEDY = Sampling(max_new_tokens=12, temperature=0.0, no_repeat_ngram=0)


def ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def answer(backend: Backend, text: str, sampling: Sampling = GREEDY) -> tuple[str, int, str | None]:
    """(text, tokens, reason)."""
    deltas = list(backend.stream(ask(text), sampling, threading.Event()))
    assert all(delta.reason is None for delta in deltas[:-1])
    return "".join(delta.text for delta in deltas), sum(delta.tokens for delta in deltas), deltas[-1].reason


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
