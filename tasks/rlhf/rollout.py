"""Experience: answers of the policy with everything PPO needs to learn from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.inference.sampling import Answer, SamplingParams, sample
from tasks.models.batching import Batch, Example, as_rows, collate
from tasks.models.data_parallel import gather, shard
from tasks.rlhf.advantage import gae, token_rewards, whiten
from tasks.rlhf.critic import Critic
from tasks.rlhf.kl import kl_estimate
from tasks.rlhf.participants import Participants, score_answers
from tasks.rlhf.roles import POLICY
from tasks.rlhf.rounds import ScoredRound
from tasks.rlhf.scoring import clipped_scores
from tasks.rlhf.settings import PPOSettings


@dataclass(kw_only=True)
class Experience(ScoredRound):
    """One round of answers with all that PPO learns from. Matrices are (B, L): answer tokens from the first on, right-padded under `mask`."""

    states: Tensor  # (B, T, H) of the trunk
    critic_states: Tensor  # (B, T, H) that enter the critic's first layer that learns
    mask: Tensor
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    entropy: Tensor  # of the policy's distribution at each token, nats
    second_scores: Tensor | None = None  # (B,) of the reward model that only watches


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
    second_score: Tensor | None
    parts: dict[str, Tensor]


@torch.no_grad()
def make_experience(
    participants: Participants, critic: Critic, prompts: Sequence[list[int]], settings: PPOSettings, kl_coef: float, seed: int
) -> Experience:
    """Sample an answer to each prompt and work out scores, KL, values, advantages and returns. The trunk's states come with the sampling.

    Each process samples its own shard of the prompts; states are of those alone and zero elsewhere, all else is of all rows in every process.
    """
    roles = participants.roles
    local: dict[str, Tensor] = {}

    def sampled(rows: list[int]) -> list[_Episode]:
        asked = [prompts[row] for row in rows]
        with roles.merged(POLICY) as policy:
            answers = sample(
                policy,
                asked,
                SamplingParams(settings.answer_tokens, participants.end_ids, settings.temperature, seed=seed),
                batch=max(1, len(rows)),
                states_at=roles.layer,
                indices=rows,
            )
        return _episodes(participants, critic, asked, answers, settings.temperature, local)

    episodes = gather(len(prompts), sampled)
    batch = collate([episode.example for episode in episodes], range(len(episodes)), 0, str(roles.device))
    states, critic_states = (_in_their_rows(local.get(name), batch, roles.hidden_size) for name in ("states", "critic_states"))
    return _assemble(batch, states, critic_states, episodes, settings, kl_coef)


def _episodes(
    participants: Participants,
    critic: Critic,
    prompts: Sequence[list[int]],
    answers: Sequence[Answer],
    temperature: float,
    local: dict[str, Tensor],
) -> list[_Episode]:
    """What all participants say of some answers; puts the states that learning needs, (B, T, H), into `local`."""
    if not prompts:
        return []
    examples = [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    batch = collate(examples, range(len(examples)), 0, str(participants.roles.device))
    states = nn.utils.rnn.pad_sequence([answer.states for answer in answers if answer.states is not None], batch_first=True)
    said = score_answers(participants, batch, states, temperature)
    critic_states = critic.states(states, batch.mask)
    local |= {"states": states, "critic_states": critic_states}

    def by_row(flat: Tensor) -> Sequence[Tensor]:
        return flat.cpu().split(batch.answer_tokens.tolist())

    logprobs, reference, entropy = by_row(said.logprobs), by_row(said.reference), by_row(said.entropy)
    values = by_row(critic.values(critic_states, batch))
    return [
        _Episode(
            example=example,
            finished=answers[i].finished,
            logprobs=logprobs[i],
            reference=reference[i],
            values=values[i],
            entropy=entropy[i],
            score=said.scores[i].cpu(),
            second_score=None if said.second_scores is None else said.second_scores[i].cpu(),
            parts={name: scores[i].cpu() for name, scores in said.parts.items()},
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


def _assemble(
    batch: Batch, states: Tensor, critic_states: Tensor, episodes: Sequence[_Episode], settings: PPOSettings, kl_coef: float
) -> Experience:
    """Rewards, advantages and returns of all episodes of a round."""
    device = batch.ids.device

    def tokens(name: str) -> Tensor:
        """(N,) of all episodes."""
        return torch.cat([getattr(episode, name) for episode in episodes]).to(device)

    logprobs, reference = tokens("logprobs"), tokens("reference")
    scores, finished = torch.stack([episode.score for episode in episodes]).to(device), [episode.finished for episode in episodes]
    second_scores = [episode.second_score for episode in episodes if episode.second_score is not None]
    mask = as_rows(torch.ones_like(logprobs), batch)
    penalty = as_rows(kl_estimate(logprobs, reference, settings.kl_estimator), batch)
    rewards = token_rewards(clipped_scores(scores, finished, settings), penalty, mask, kl_coef)
    if settings.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False)
    values = as_rows(tokens("values"), batch)
    advantages, returns = gae(rewards, values, mask, settings.gamma, settings.gae_lambda)
    return Experience(
        batch=batch,
        states=states,
        critic_states=critic_states,
        mask=mask,
        logprobs=as_rows(logprobs, batch),
        values=values,
        advantages=whiten(advantages, mask),
        returns=returns,
        entropy=as_rows(tokens("entropy"), batch),
        scores=scores,
        second_scores=torch.stack(second_scores).to(device) if second_scores else None,
        kl=as_rows(kl_estimate(logprobs, reference), batch).sum(-1),
        rewards=rewards.sum(-1),
        finished=finished,
        parts={name: torch.stack([episode.parts[name] for episode in episodes]).to(device) for name in episodes[0].parts},
    )
