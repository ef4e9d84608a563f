"""Who takes part in a run of RLHF, and what they say of sampled answers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.models.batching import Batch
from tasks.models.likelihood import target_logprobs, target_logprobs_and_entropy
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import POLICY, Roles
from tasks.rlhf.scoring import Scorer


@dataclass(frozen=True)
class Participants:
    """One trunk with policy and reference among its roles, what scores answers for learning, and a reward model that only watches, if any.

    `end_ids` are the tokens that end an answer.
    """

    roles: Roles
    scorer: Scorer
    end_ids: set[int]
    watcher: RewardModel | None = None


@dataclass(frozen=True)
class ScoredAnswers:
    """What the participants say of a batch of answers: (N,) of the answers' tokens, row by row, or (B,) of the answers."""

    logprobs: Tensor  # (N,) of the policy, nats
    entropy: Tensor  # (N,) of the policy's distributions, nats
    reference: Tensor  # (N,) log-probabilities of the reference, nats
    scores: Tensor  # (B,)
    parts: dict[str, Tensor]  # (B,) each: what scores are mixed of, where there are rules
    second_scores: Tensor | None  # (B,) of the reward model that only watches


@torch.no_grad()
def score_answers(participants: Participants, batch: Batch, states: Tensor, temperature: float) -> ScoredAnswers:
    """What policy, reference and reward models say of a batch, from its trunk states (B, T, H).

    Raises:
        MigakiError: a rule does not keep to its contract.
    """
    roles, watcher = participants.roles, participants.watcher
    final = roles.final(POLICY, states, batch.mask)[batch.predicts]
    logprobs, entropy = target_logprobs_and_entropy(roles.head, final, batch.targets, temperature)
    final = roles.final(None, states, batch.mask)[batch.predicts]
    reference = target_logprobs(roles.head, final, batch.targets, temperature)
    scores, parts = participants.scorer.score(batch, states)
    second_scores = None if watcher is None else watcher.score(batch, states)
    return ScoredAnswers(logprobs, entropy, reference, scores, parts, second_scores)
