"""Experience: answers of the policy with everything PPO needs to learn from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tasks.models.batching import Batch, Example, collate
from tasks.models.decode import sample
from tasks.models.likelihood import target_logprobs, target_logprobs_and_entropy
from tasks.models.trunk import layer_count
from tasks.rlhf.advantage import gae, token_rewards, whiten
from tasks.rlhf.kl import kl_estimate
from tasks.rlhf.roles import Roles
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import PPOSettings

POLICY, CRITIC = "default", "critic"  # PEFT writes the adapter of that name into the very folder it is told, and TRL trains it


@dataclass
class Experience:
    """One round of answers. Matrices are (B, L): answer tokens from the first on, right-padded under `mask`."""

    batch: Batch
    states: Tensor  # (B, T, H) of the trunk
    critic_states: Tensor  # (B, T, H) that enter the critic's first layer that learns
    mask: Tensor
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    entropy: Tensor  # of the policy's distribution at each token, nats
    scores: Tensor  # (B,) of the reward model and the rules, before penalties
    kl: Tensor  # (B,) k1 summed over the answer, nats
    rewards: Tensor  # (B,) what the answer earned in all
    finished: list[bool]
    parts: dict[str, Tensor] = field(default_factory=dict)  # (B,) each: what scores are mixed of, where there are rules


class Critic:
    """The reward model's twin with a head of values. Its adapter learns in the top `fraction` of the adapted layers; below, it never changes
    and runs once a round. A fraction of 0 leaves the head alone to learn, on the reward model's own final states."""

    def __init__(self, roles: Roles, head: nn.Linear, fraction: float):
        layers = layer_count(roles.base)
        self.roles, self.head = roles, head
        self.layer = layers - learning_layers(layers - roles.layer, fraction)
        self.head_only = self.layer == layers
        self.parameters = [*roles.parameters(CRITIC, self.layer), *head.parameters()]

    @torch.no_grad()
    def states(self, trunk: Tensor, mask: Tensor) -> Tensor:
        """(B, T, H) that `values` starts from, of trunk states."""
        if self.head_only:
            return self.roles.final(CRITIC, trunk, mask)
        return self.roles.between(CRITIC, trunk, mask, self.layer)

    def values(self, states: Tensor, batch: Batch) -> Tensor:
        """(N,) one for each answer token."""
        final = states if self.head_only else self.roles.final(CRITIC, states, batch.mask, self.layer)
        return self.head(final[batch.predicts])[:, 0]


def learning_layers(adapted: int, fraction: float) -> int:
    """How many of the adapted layers a fraction of them is: at least one, unless the fraction is 0."""
    return max(1, round(adapted * fraction)) if fraction else 0


def as_rows(flat: Tensor, batch: Batch) -> Tensor:
    """(N,) values of answer tokens, row by row, to (B, L)."""
    return nn.utils.rnn.pad_sequence(list(flat.split(batch.answer_tokens.tolist())), batch_first=True)


@torch.no_grad()
def make_experience(
    roles: Roles,
    scorer: Scorer,
    critic: Critic,
    prompts: Sequence[list[int]],
    end_ids: set[int],
    settings: PPOSettings,
    kl_coef: float,
    seed: int,
) -> Experience:
    """Sample an answer to each prompt and work out scores, KL, values, advantages and returns. The trunk's states come with the sampling."""
    with roles.merged(POLICY) as policy:
        answers = sample(
            policy,
            prompts,
            max_new_tokens=settings.answer_tokens,
            end_ids=end_ids,
            temperature=settings.temperature,
            seed=seed,
            batch=len(prompts),
            states_at=roles.layer,
        )
    examples = [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    batch = collate(examples, range(len(examples)), 0, str(roles.device))
    states = nn.utils.rnn.pad_sequence([answer.states for answer in answers], batch_first=True)
    final = roles.final(POLICY, states, batch.mask)[batch.predicts]
    flat, entropy = target_logprobs_and_entropy(roles.head, final, batch.targets, settings.temperature)
    final = roles.final(None, states, batch.mask)[batch.predicts]
    reference = target_logprobs(roles.head, final, batch.targets, settings.temperature)
    critic_states = critic.states(states, batch.mask)
    values = critic.values(critic_states, batch)
    finished = [answer.finished for answer in answers]
    scores, parts = scorer.score(batch, states)
    experience = assemble(batch, states, critic_states, flat, reference, values, entropy, scores, finished, settings, kl_coef)
    experience.parts = parts
    return experience


def assemble(
    batch: Batch,
    states: Tensor,
    critic_states: Tensor,
    logprobs: Tensor,
    reference: Tensor,
    values: Tensor,
    entropy: Tensor,
    scores: Tensor,
    finished: list[bool],
    settings: PPOSettings,
    kl_coef: float,
) -> Experience:
    """Rewards, advantages and returns from flat (N,) per-token values and (B,) scores."""
    mask = as_rows(torch.ones_like(logprobs), batch)
    penalty = as_rows(kl_estimate(logprobs, reference, settings.kl_estimator), batch)
    earned = clipped_scores(scores, finished, settings)
    rewards = token_rewards(earned, penalty, mask, kl_coef)
    if settings.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False)
    rows = as_rows(values, batch)
    advantages, returns = gae(rewards, rows, mask, settings.gamma, settings.gae_lambda)
    return Experience(
        batch,
        states,
        critic_states,
        mask,
        as_rows(logprobs, batch),
        rows,
        whiten(advantages, mask),
        returns,
        as_rows(entropy, batch),
        scores,
        as_rows(kl_estimate(logprobs, reference), batch).sum(-1),
        rewards.sum(-1),
        finished,
    )


def clipped_scores(scores: Tensor, finished: list[bool], settings: PPOSettings) -> Tensor:
    """(B,) scores cut at `score_clip`, less the penalty where an answer was cut off before its end."""
    cut_off = torch.tensor([not done for done in finished], device=scores.device)
    return scores.clamp(-settings.score_clip, settings.score_clip) - settings.missing_end_penalty * cut_off
