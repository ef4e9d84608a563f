"""What is done to logits before a token is drawn: penalties for what an answer has said already, then truncation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

NEVER = float("-inf")


def repeats(answer: Sequence[int], size: int) -> list[int]:
    """Tokens that would make a run of `size` tokens occur twice in the answer; none for 0."""
    if not 0 < size <= len(answer) + 1:
        return []
    last = tuple(answer[len(answer) - size + 1 :])
    return [answer[i + size - 1] for i in range(len(answer) - size + 1) if tuple(answer[i : i + size - 1]) == last]


def penalise(line: Tensor, answer: Sequence[int], repetition_penalty: float, no_repeat_ngram: int) -> None:
    """Make tokens of the answer less likely in logits (V,), in place, and those impossible that would repeat a run of tokens.

    A positive logit is divided by the penalty and a negative one multiplied with it, once for each token that was generated (Keskar et al. 2019,
    "CTRL", section 4.1); 1 changes nothing. The prompt's tokens do not count, in either: to quote it is no repetition.
    """
    if repetition_penalty != 1.0 and answer:
        said = torch.tensor(sorted(set(answer)), device=line.device)
        logits = line[said]
        line[said] = torch.where(logits < 0, logits * repetition_penalty, logits / repetition_penalty)
    line[repeats(answer, no_repeat_ngram)] = NEVER


def truncate(logprobs: Tensor, top_k: int, top_p: float, min_p: float = 0.0) -> Tensor:
    """Log-probabilities (B, V) with -inf where no token may be drawn: top-k (Fan et al. 2018), then nucleus (Holtzman et al. 2020), then min-p
    truncation, which leaves what is at least `min_p` times as likely as the likeliest (Nguyen et al. 2024). 0, 1.0 and 0 leave everything."""
    if top_k:
        floor = logprobs.topk(min(top_k, logprobs.shape[-1]), dim=-1).values[:, -1:]
        logprobs = logprobs.masked_fill(logprobs < floor, NEVER)
    if top_p < 1.0:
        ordered, index = logprobs.sort(dim=-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        ordered = ordered.masked_fill(before >= top_p * ordered.exp().sum(-1, keepdim=True), NEVER)
        logprobs = torch.full_like(logprobs, NEVER).scatter(1, index, ordered)
    if min_p:
        logprobs = logprobs.masked_fill(logprobs < logprobs.amax(-1, keepdim=True) + math.log(min_p), NEVER)
    return logprobs
