"""The decoding study: every way of decoding answers the same held-out prompts, and its answers are held against references and each other."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.inference.beams import beam_search
from tasks.inference.sampling import SamplingParams, sample
from tasks.inference.strategies import Decoding
from tasks.models.batching import Example
from tasks.models.likelihood import score_examples
from tasks.prompts.template import decode, encode_prompt, stop_ids
from tasks.studies.study import Answer, Arm, Item, Measure, Opened
from tasks.text.judging import accepts
from tasks.text.measures import chrf, distinct_n, repetition

Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]
CORRECTNESS, SIMILARITY, DISTINCT = "correctness", "self_similarity", "distinct_2"
MEASURES = (
    Measure(CORRECTNESS),
    Measure("distinct_1", "distinct-1", better=""),
    Measure(DISTINCT, "distinct-2", better=""),
    Measure("repetition", "repeated 4-grams", better="lower"),
    Measure(SIMILARITY, "self-similarity (chrF)", better=""),
    Measure("log_likelihood", "log-likelihood per token", better="", per="tokens"),
    Measure("speed", "tokens/s", per="seconds"),
)


@dataclass
class DecodingStudy:
    """A `Study` whose arms are decodings.

    Attributes:
        open_model: opens the model, which is the same in every arm and stays in memory from the first one on.
        samples: answers to a prompt of an arm that draws; one that does not says the same every time, and is asked once.
    """

    decodings: Sequence[Decoding]
    items: Sequence[Item]
    open_model: Callable[[], Model]
    samples: int
    seed: int
    name: str = "decoding_study"
    batch: int = 16
    measures: Sequence[Measure] = MEASURES
    arms: Sequence[Arm] = field(init=False)

    def __post_init__(self) -> None:
        self.arms = [
            Arm(one.name, _settings(one), {f"chat.{name}": value for name, value in _settings(one).items()}) for one in self.decodings
        ]

    @cached_property
    def model(self) -> Model:
        return self.open_model()

    @contextmanager
    def opened(self, arm: Arm) -> Iterator[Opened]:
        decoding = next(one for one in self.decodings if one.name == arm.name)
        yield Opened(lambda items: self._answers(decoding, items))

    def prompt_ids(self, item: Item) -> list[int]:
        """The tokens that an item's answer comes behind."""
        return encode_prompt(self.model[1], item.content["messages"])

    def _answers(self, decoding: Decoding, items: Sequence[Item]) -> list[Answer]:
        model, tokenizer = self.model
        prompts, times = [self.prompt_ids(item) for item in items], self.samples if decoding.draws else 1
        began = time.perf_counter()
        ids = self._generated(decoding, items, prompts, times)
        seconds = (time.perf_counter() - began) / len(items)
        asked = [prompt for prompt in prompts for _ in range(times)]
        scores = score_examples(model, [Example([*prompt, *own], len(prompt)) for prompt, own in zip(asked, ids, strict=True)])
        answers = []
        for i, item in enumerate(items):
            mine = slice(i * times, (i + 1) * times)
            texts = [decode(tokenizer, own, skip_special_tokens=True).strip() for own in ids[mine]]
            counted = {
                "log_likelihood": -sum(score.nll for score in scores[mine]),
                "tokens": float(sum(score.tokens for score in scores[mine])),
                "speed": float(sum(map(len, ids[mine]))),
                "seconds": seconds,
            }
            said = texts if decoding.draws else texts * self.samples
            prompt, reference = item.content["messages"][-1]["content"], item.content["reference"]
            answers.append(Answer(judged(item, said) | counted, prompt, texts[0], reference, {"answers": texts}))
        return answers

    def _generated(self, decoding: Decoding, items: Sequence[Item], prompts: Sequence[Sequence[int]], times: int) -> list[list[int]]:
        """The tokens of `times` answers to each prompt. What is drawn depends on the item and the number of its answer alone: not on the batch, and not
        on the arm, so that arms differ by how they decode and not by luck."""
        model, tokenizer = self.model
        how, ends = decoding.sampling, stop_ids(model, tokenizer)
        if how.num_beams > 1:
            return beam_search(model, prompts, how, how.max_new_tokens, ends, tokenizer.pad_token_id)
        params = SamplingParams(
            how.max_new_tokens,
            ends,
            how.temperature,
            how.top_k,
            how.top_p,
            how.min_p,
            how.repetition_penalty,
            how.no_repeat_ngram,
            self.seed,
        )
        repeated = [prompt for prompt in prompts for _ in range(times)]
        draws = [_draw(item, number) for item in items for number in range(times)]
        return [answer.ids for answer in sample(model, repeated, params, batch=len(repeated), indices=draws)]


def judged(item: Item, texts: Sequence[str]) -> dict[str, float]:
    """The measures of an item's answers that need no model. Of one answer it cannot be told how alike they are."""
    lang, accept, reference = item.lang, item.content["accept"], item.content["reference"]
    right = [float(accepts(text, accept)) if accept else chrf(text, reference) for text in texts]
    alike = [chrf(one, other) for one, other in permutations(texts, 2)]
    return {
        CORRECTNESS: float(np.mean(right)),
        "distinct_1": distinct_n(texts, [lang] * len(texts), 1),
        DISTINCT: distinct_n(texts, [lang] * len(texts), 2),
        "repetition": float(np.mean([repetition(text, lang) for text in texts])),
    } | ({SIMILARITY: float(np.mean(alike))} if alike else {})


def _settings(decoding: Decoding) -> Mapping[str, Any]:
    """What a release's `chat` must say to generate so, of the length of its answers apart."""
    own = asdict(decoding.sampling)
    return {name: own[name] for name in ("temperature", "top_k", "top_p", "min_p", "num_beams", "no_repeat_ngram", "repetition_penalty")}


def _draw(item: Item, number: int) -> int:
    return int(hashlib.sha256(f"{item.id} {number}".encode()).hexdigest()[:12], 16)
