"""Beam search, by transformers' `generate`."""

from collections.abc import Collection, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import Cache, DynamicCache

from tasks.inference.backend import Sampling
from tasks.inference.kv_cache import ATTENTION_KINDS
from tasks.inference.logits import penalise
from tasks.inference.sampling import left_pad
from tasks.models.families import attention_kinds
from tasks.models.trunk import causal_lm, decoder, position_ids


class _Penalties(LogitsProcessor):
    """`penalise`, on log-probabilities as is usual with beams: transformers' own counts the prompt's tokens too, which forbids quoting it."""

    def __init__(self, prompt: int, repetition_penalty: float, no_repeat_ngram: int):
        self.prompt, self.repetition_penalty, self.no_repeat_ngram = prompt, repetition_penalty, no_repeat_ngram

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        for ids, line in zip(input_ids[:, self.prompt :].tolist(), scores, strict=True):
            penalise(line, ids, self.repetition_penalty, self.no_repeat_ngram)
        return scores


def beam_search(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limit: int,
    ends: Collection[int],
    pad_id: int,
    stopping: Sequence[StoppingCriteria] = (),
) -> list[list[int]]:
    """For each prompt the answer of at most `limit` tokens that is likeliest per token of those that `sampling.num_beams` beams find, with the token
    that ends it. An answer is the same whatever the other prompts, but for floating-point noise."""
    penalties = _Penalties(max(map(len, prompts)), sampling.repetition_penalty, sampling.no_repeat_ngram)
    return generate(model, prompts, penalties, limit, ends, pad_id, stopping, num_beams=sampling.num_beams)


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    processor: LogitsProcessor,
    limit: int,
    ends: Collection[int],
    pad_id: int,
    stopping: Sequence[StoppingCriteria] = (),
    num_beams: int = 1,
) -> list[list[int]]:
    """What transformers generates behind each prompt, up to the token that ends it."""
    ids, mask = left_pad(prompts, model.device)
    own: Any = model  # its `generate` is typed for one of several mixed-in classes
    out: Tensor = own.generate(
        ids,
        attention_mask=mask,
        generation_config=GenerationConfig(
            max_new_tokens=limit, num_beams=num_beams, do_sample=False, eos_token_id=sorted(ends), pad_token_id=pad_id
        ),
        logits_processor=LogitsProcessorList([processor]),
        stopping_criteria=StoppingCriteriaList(stopping),
        **(_read_once(model, ids, mask, num_beams) if num_beams > 1 else {}),
    )
    return [_ended(answer, ends) for answer in out[:, ids.shape[1] :].tolist()]


@torch.no_grad()
def _read_once(model: PreTrainedModel, ids: Tensor, mask: Tensor, num_beams: int) -> dict[str, Cache]:
    """Keys and values of all but the last token of each prompt, for every beam: transformers would read a prompt once for each. Nothing for a model that
    keeps a cache of its own kind, or does not take positions."""
    body, config = decoder(model), causal_lm(model).config
    takes = "position_ids" in signature(body.forward).parameters
    if ids.shape[1] < 2 or not takes or not attention_kinds(config) <= ATTENTION_KINDS:
        return {}
    cache, mask = DynamicCache(config=config), mask[:, :-1]
    body(input_ids=ids[:, :-1], attention_mask=mask, position_ids=position_ids(mask), past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(num_beams)
    return {"past_key_values": cache}


def _ended(answer: list[int], ends: Collection[int]) -> list[int]:
    return answer[: next((i + 1 for i, token in enumerate(answer) if token in ends), len(answer))]
