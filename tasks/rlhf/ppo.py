"""Proximal policy optimization (Schulman et al. 2017) as used for language models (Ziegler et al. 2019; Huang et al. 2024).

Policy and critic are separate adapters on one trunk, whose states come with the experience: a pass over a round runs the top layers only.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from tasks.errors import MigakiError
from tasks.models.batching import Batch
from tasks.models.data_parallel import all_reduce, all_reduce_gradients, shard
from tasks.models.likelihood import target_logprobs
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.guards import DONE, Guards
from tasks.rlhf.kl import kl_controller
from tasks.rlhf.losses import policy_loss, value_loss
from tasks.rlhf.participants import Participants
from tasks.rlhf.roles import CRITIC, POLICY
from tasks.rlhf.rollout import Experience, make_experience
from tasks.rlhf.rounds import Progress, Round, watch
from tasks.rlhf.settings import PPOSettings


class PPOTrainer:
    """Holds policy, critic, their optimizers and the KL controller; `sample_round` and `learn` are the two halves of a round."""

    def __init__(self, participants: Participants, critic: CriticStart, settings: PPOSettings):
        self.participants, self.settings, self.roles = participants, settings, participants.roles
        self.policy = self.roles.add(POLICY, settings.lora_r, settings.lora_targets, settings.seed)
        self.critic = critic.make(self.roles, settings.critic_fraction, participants.scorer.learned_weight, settings.seed)
        self.policy_optimizer = torch.optim.AdamW(self.policy, lr=settings.learning_rate, eps=1e-5, weight_decay=0.0)
        self.critic_optimizer = torch.optim.AdamW(self.critic.parameters, lr=settings.critic_learning_rate, eps=1e-5, weight_decay=0.0)
        self.controller = kl_controller(settings)
        self.order = random.Random(settings.seed)

    def state(self) -> dict[str, Any]:
        """Everything that learning changes, to be loaded into a trainer of the same settings."""
        return {
            "policy": self.roles.state(POLICY),
            "critic": self.roles.state(CRITIC),
            "value_head": self.critic.head.state_dict(),
            "optimizers": [self.policy_optimizer.state_dict(), self.critic_optimizer.state_dict()],
            "kl_coef": self.controller.value,
            "order": self.order.getstate(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.roles.load_state(POLICY, state["policy"])
        self.roles.load_state(CRITIC, state["critic"])
        self.critic.head.load_state_dict(state["value_head"])
        for optimizer, kept in zip((self.policy_optimizer, self.critic_optimizer), state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.controller.value = state["kl_coef"]
        self.order.setstate(state["order"])

    def sample_round(self, step: int, prompts: Sequence[list[int]]) -> tuple[Experience, Round]:
        seed = self.settings.seed * 100_003 + step
        experience = make_experience(self.participants, self.critic, prompts, self.settings, self.controller.value, seed)
        mask = experience.mask
        return experience, Round(
            step=step,
            score=float(experience.scores.mean()),
            kl=float(experience.kl.mean()),
            entropy=float((experience.entropy * mask).sum() / mask.sum()),
            length=float(mask.sum(-1).mean()),
            finished=sum(experience.finished) / len(experience.finished),
            kl_coef=self.controller.value,
            second_score=None if experience.second_scores is None else float(experience.second_scores.mean()),
        )

    def learn(self, experience: Experience, figures: Round) -> None:
        """The passes over one round; fills the losses into `figures`.

        Raises:
            MigakiError: a loss is not finite; names step and rows. Weights are as before that step.
        """
        rows = list(range(len(experience.finished)))
        totals, steps = [0.0] * 4, 0
        for _ in range(self.settings.epochs):
            self.order.shuffle(rows)
            for part in range(self.settings.minibatches):
                minibatch = rows[part :: self.settings.minibatches]
                if not minibatch:
                    continue
                losses = self._step(experience, minibatch, figures, first=steps == 0)
                totals, steps = [total + loss for total, loss in zip(totals, losses, strict=True)], steps + 1
            if self.settings.early_stop_kl and losses[3] > self.settings.early_stop_kl:
                break
        figures.policy_loss, figures.value_loss, figures.clip_fraction, figures.approximate_kl = (total / steps for total in totals)
        self.controller.update(figures.kl, len(rows))

    def _step(self, experience: Experience, rows: list[int], figures: Round, first: bool) -> tuple[float, float, float, float]:
        """One optimizer step of policy and critic; the loss is the mean over the minibatch's tokens, however it is cut into micro-batches."""
        tokens = float(experience.mask[rows].sum())
        totals = torch.zeros(4)
        rows = sorted(shard(rows), key=lambda row: -int(experience.batch.mask[row].sum()))  # alike in length together: less padding
        for start in range(0, len(rows), self.settings.micro_batch):
            part = rows[start : start + self.settings.micro_batch]
            totals += self._accumulate(experience, part, tokens, figures, first and start == 0)
        totals = torch.tensor(all_reduce(totals.tolist()))
        if not math.isfinite(float(totals[:2].sum())):
            raise MigakiError(
                f"the loss of policy or critic became {totals[:2].tolist()} at update {figures.step}, episodes {rows[:4]}...; the policy from before is kept. Try a lower align.learning_rate"
            )
        for parameters, optimizer in ((self.policy, self.policy_optimizer), (self.critic.parameters, self.critic_optimizer)):
            all_reduce_gradients(parameters)
            nn.utils.clip_grad_norm_(parameters, self.settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return tuple(totals.tolist())

    def _accumulate(self, experience: Experience, rows: list[int], tokens: float, figures: Round, first: bool) -> torch.Tensor:
        batch, states, critic_states = _rows_of(experience, rows)
        inside = experience.mask[rows].bool()
        old, advantages = experience.logprobs[rows][inside], experience.advantages[rows][inside]
        old_values, returns = experience.values[rows][inside], experience.returns[rows][inside]
        final = self.roles.final(POLICY, states, batch.mask)[batch.predicts]
        logprobs = target_logprobs(self.roles.head, final, batch.targets, self.settings.temperature)
        loss, ratio, clipped = policy_loss(logprobs, old, advantages, self.settings.clip_ratio)
        (loss.sum() / tokens).backward()
        values = self.critic.values(critic_states, batch)
        squared = value_loss(values, old_values, returns, self.settings.clip_value)
        (squared.sum() / tokens).backward()
        if first:  # nothing has been learnt yet: the ratio must be 1
            figures.first_ratio_error = float((ratio.detach() - 1).abs().max())
        approximate_kl = 0.5 * (logprobs - old).square()
        return torch.stack([part.detach().float().sum().cpu() / tokens for part in (loss, squared, clipped, approximate_kl)])


def _rows_of(experience: Experience, rows: list[int]) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """Some rows of the batch and of both kinds of states, cut to the longest of them."""
    batch = experience.batch
    width = int(batch.mask[rows].sum(-1).max())
    predicts = batch.predicts[rows, :width]
    targets = batch.ids[rows].roll(-1, dims=1)[:, :width][predicts]
    part = Batch(rows, batch.ids[rows, :width], batch.mask[rows, :width], predicts, targets)
    return part, experience.states[rows, :width], experience.critic_states[rows, :width]


def run_ppo(
    trainer: PPOTrainer,
    prompts: Sequence[list[int]],
    on_round: Callable[[Round, Experience, list[int]], object],
    guards: Guards,
    progress: Progress | None = None,
    keep: Callable[[dict[str, Any]], object] = lambda state: None,
) -> tuple[dict[str, torch.Tensor], str]:
    """All rounds, or those left of `progress`. `on_round(figures, experience, rows of prompts)` hears of each, then `keep` of the state to go on from.

    Returns the policy's adapter weights and why the run ended. Where a limit is broken, those are the best weights from before it; the last
    round samples only, to measure what the last update led to.

    Raises:
        MigakiError: the loss is not finite in the first round, so that there is nothing to keep.
    """
    settings, progress = trainer.settings, progress or Progress()
    while progress.step <= settings.updates + 1:
        while len(progress.queue) < settings.episodes:
            progress.queue += trainer.order.sample(range(len(prompts)), len(prompts))
        rows, progress.queue = progress.queue[: settings.episodes], progress.queue[settings.episodes :]
        experience, figures = trainer.sample_round(progress.step, [prompts[row] for row in rows])
        reason = watch(guards, figures, experience.batch)
        if not reason:
            progress.note(figures, experience.rewards, trainer.roles.state(POLICY))
            if progress.step <= settings.updates:
                try:
                    trainer.learn(experience, figures)
                except MigakiError as error:
                    if progress.step == 1:
                        raise
                    reason = str(error)
        on_round(figures, experience, rows)
        if reason:
            return progress.best, f"stopped at update {progress.step}: {reason}; the best policy from before is kept"
        progress.step += 1
        keep({"trainer": trainer.state(), "progress": progress.state(), "guards": guards.seen})
    return trainer.roles.state(POLICY), DONE
