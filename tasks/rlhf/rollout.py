"""Experience: answers of the policy with everything PPO needs to learn from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tasks.inference.sampling import Answer, sample
from tasks.models.batching import Batch, Example, collate
from tasks.models.data_parallel import gather, shard
from tasks.models.likelihood import target_logprobs, target_logprobs_and_entropy
from tasks.models.trunk import layer_count
from tasks.rlhf.advantage import gae, token_rewards, whiten
from tasks.rlhf.kl import kl_estimate
from tasks.rlhf.reward import RewardModel
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
    second: Tensor | None = None  # (B,) of the reward model that only watches


class Critic:
    """The reward model's twin with a head of values. Its adapter learns in the top `fraction` of the model's layers; below, it never changes
    and runs once a round. A fraction of 0 leaves the head alone to learn, on the reward model's own final states."""

    def __init__(self, roles: Roles, head: nn.Linear, fraction: float):
        layers = layer_count(roles.base)
        self.roles, self.head = roles, head
        self.layer = layers - learning_layers(layers, layers - roles.layer, fraction)
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


def learning_layers(layers: int, adapted: int, fraction: float) -> int:
    """How many layers a fraction of all of them is: at most those that are adapted and at least one, unless the fraction is 0."""
    return min(adapted, max(1, round(layers * fraction))) if fraction else 0


def as_rows(flat: Tensor, batch: Batch) -> Tensor:
    """(N,) values of answer tokens, row by row, to (B, L)."""
    return nn.utils.rnn.pad_sequence(list(flat.split(batch.answer_tokens.tolist())), batch_first=True)


@dataclass
class _Episode:
    """What is known of one answer before the round is put together, on the CPU. Tensors are (L,), one value a token."""

    example: Example
    finished: bool
    logprobs: Tensor
    reference: Tensor
    values: Tensor
    entropy: Tensor
    score: Tensor  # ()
    second: Tensor | None
    parts: dict[str, Tensor]


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
    watcher: RewardModel | None = None,
) -> Experience:
    """Sample an answer to each prompt and work out scores, KL, values, advantages and returns. The trunk's states come with the sampling.

    Each process samples its own rows; states are of those alone and zero elsewhere, all else is of all rows in every process.
    """
    local: dict[str, Tensor] = {}

    def sampled(rows: list[int]) -> list[_Episode]:
        with roles.merged(POLICY) as policy:
            answers = sample(
                policy,
                [prompts[row] for row in rows],
                max_new_tokens=settings.answer_tokens,
                end_ids=end_ids,
                temperature=settings.temperature,
                seed=seed,
                batch=max(1, len(rows)),
                states_at=roles.layer,
                indices=rows,
            )
        return _examined(roles, scorer, critic, watcher, [prompts[row] for row in rows], answers, settings.temperature, local)

    episodes = gather(len(prompts), sampled)
    device = str(roles.device)
    batch = collate([episode.example for episode in episodes], range(len(episodes)), 0, device)
    states, critic_states = (_in_their_rows(local.get(name), batch, roles.hidden_size) for name in ("states", "critic_states"))
    flat = {name: torch.cat([getattr(e, name) for e in episodes]).to(device) for name in ("logprobs", "reference", "values", "entropy")}
    scores = torch.stack([episode.score for episode in episodes]).to(device)
    finished = [episode.finished for episode in episodes]
    experience = assemble(batch, states, critic_states, **flat, scores=scores, finished=finished, settings=settings, kl_coef=kl_coef)
    experience.parts = {name: torch.stack([episode.parts[name] for episode in episodes]).to(device) for name in episodes[0].parts}
    if watcher is not None:
        experience.second = torch.stack([episode.second for episode in episodes]).to(device)
    return experience


def _examined(
    roles: Roles,
    scorer: Scorer,
    critic: Critic,
    watcher: RewardModel | None,
    prompts: Sequence[list[int]],
    answers: Sequence[Answer],
    temperature: float,
    local: dict[str, Tensor],
) -> list[_Episode]:
    """What all roles say of some answers; puts the states that learning needs, (B, T, H), into `local`."""
    if not prompts:
        return []
    examples = [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    batch = collate(examples, range(len(examples)), 0, str(roles.device))
    states = nn.utils.rnn.pad_sequence([answer.states for answer in answers], batch_first=True)
    final = roles.final(POLICY, states, batch.mask)[batch.predicts]
    logprobs, entropy = target_logprobs_and_entropy(roles.head, final, batch.targets, temperature)
    final = roles.final(None, states, batch.mask)[batch.predicts]
    reference = target_logprobs(roles.head, final, batch.targets, temperature)
    critic_states = critic.states(states, batch.mask)
    values = critic.values(critic_states, batch)
    scores, parts = scorer.score(batch, states)
    second = [None] * len(examples) if watcher is None else watcher.score(batch, states).cpu()
    local |= {"states": states, "critic_states": critic_states}
    by_row = [flat.cpu().split(batch.answer_tokens.tolist()) for flat in (logprobs, reference, values, entropy)]
    return [
        _Episode(
            example,
            answers[i].finished,
            *(rows[i] for rows in by_row),
            scores[i].cpu(),
            second[i],
            {n: p[i].cpu() for n, p in parts.items()},
        )
        for i, example in enumerate(examples)
    ]


def _in_their_rows(states: Tensor | None, batch: Batch, hidden: int) -> Tensor:
    """(B, T, H): this process's states where its rows are in the whole batch."""
    if states is not None and len(states) == len(batch.ids):
        return states
    whole = torch.zeros(*batch.ids.shape, hidden, device=batch.ids.device)
    if states is not None:
        whole = whole.to(states.dtype)
        whole[shard(range(len(whole))), : states.shape[1]] = states
    return whole


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
