"""What Prometheus reads: how many ask, how long they wait, what is refused. A registry of its own, so that several apps can live in one process."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tasks.chatbot.events import Ended, Piece, Refused
from tasks.chatbot.web.limits import Slots
from tasks.inference.backend import BackendStats

HOUSEKEEPING = "housekeeping"  # the channel of what no person asks for: counted, but nobody's waiting time
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
T = TypeVar("T")


class ModelFigures(Collector):
    """What the model itself has done; it begins anew with another champion."""

    def __init__(self, stats: Callable[[], BackendStats]):
        self.stats = stats

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        now = self.stats()
        for name, help_text, value in (
            ("requests", "Prompts given to the model, those that choose a tool included", now.requests),
            ("failed", "Prompts at which the model broke off", now.failed),
            ("prompt_tokens", "Tokens of prompts", now.prompt_tokens),
            ("reused_tokens", "Of these, tokens that had been read for an earlier prompt", now.reused_tokens),
            ("generated_tokens", "Tokens generated", now.tokens),
            ("steps", "Passes of the batch", now.steps),
        ):
            yield CounterMetricFamily(f"migaki_model_{name}", help_text, value)
        yield GaugeMetricFamily("migaki_model_waiting", "Prompts that no row of the batch is free for", now.waiting)
        yield GaugeMetricFamily("migaki_model_running", "Rows decoded together", now.running)


class Metrics:
    """Counters of one server."""

    def __init__(self, slots: Slots, stats: Callable[[], BackendStats]):
        self.registry = CollectorRegistry()
        self.registry.register(ModelFigures(stats))
        self.requests = Counter("migaki_requests", "HTTP requests", ["method", "path", "code"], registry=self.registry)
        self.answers = Counter("migaki_answers", "Answers by how they ended", ["channel", "reason", "finish"], registry=self.registry)
        self.tokens = Counter("migaki_tokens", "Tokens generated", ["channel"], registry=self.registry)
        self.refusals = Counter("migaki_refusals", "Refusals of the safety filters", ["code", "side"], registry=self.registry)
        self.first = Histogram("migaki_first_token_seconds", "From the question to the first text", registry=self.registry, buckets=SECONDS)
        self.whole = Histogram(
            "migaki_answer_seconds", "From the question to the end of the answer", registry=self.registry, buckets=SECONDS
        )
        for name, help_text, read in (
            ("migaki_active", "Answers being made", lambda: slots.active),
            ("migaki_queue", "Requests waiting for their turn", lambda: slots.waiting),
        ):
            Gauge(name, help_text, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def watch(self, events: Iterable[T], channel: str, asked: float) -> Iterator[T]:
        """Pass events on and count them. `asked` is `time.monotonic()` when the question came."""
        begun, waited = False, channel != HOUSEKEEPING
        for event in events:
            if isinstance(event, Piece) and not begun:
                begun = True
                if waited:
                    self.first.observe(time.monotonic() - asked)
            elif isinstance(event, Refused):
                self.refusals.labels(event.code, event.side).inc()
            elif isinstance(event, Ended):
                self.answers.labels(channel, event.turn.reason, event.turn.finish).inc()
                self.tokens.labels(channel).inc(event.turn.tokens)
                if waited:
                    self.whole.observe(time.monotonic() - asked)
            yield event
