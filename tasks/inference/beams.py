"""Beam search, by transformers' `generate`."""

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tasks.inference.backend import Sampling
from tasks.inference.logits import penalise
from tasks.inference.sampling import left_pad


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
    )
    return [_ended(answer, ends) for answer in out[:, ids.shape[1] :].tolist()]


def _ended(answer: list[int], ends: Collection[int]) -> list[int]:
    return answer[: next((i + 1 for i, token in enumerate(answer) if token in ends), len(answer))]
