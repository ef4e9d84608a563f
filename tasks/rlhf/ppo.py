"""Proximal policy optimization (Schulman et al. 2017) as used for language models (Ziegler et al. 2019; Huang et al. 2024).

Policy and critic are separate adapters on one trunk, whose states come with the experience: a pass over a round runs the top layers only.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tasks.errors import MigakiError
from tasks.models.batching import Batch
from tasks.rlhf.kl import AdaptiveKLController, FixedKLController
from tasks.rlhf.losses import policy_loss, value_loss
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.rollout import CRITIC, POLICY, Experience, make_experience, token_logprobs
from tasks.rlhf.settings import PPOSettings


@dataclass
class Round:
    """What a round came to, for curves and limits. KL in nats per answer, entropy in nats per token, length in tokens."""

    step: int
    score: float
    kl: float
    entropy: float
    length: float
    finished: float
    kl_coef: float
    first_ratio_error: float = 0.0
    policy_loss: float = 0.0
    value_loss: float = 0.0
    clip_fraction: float = 0.0
    approximate_kl: float = 0.0


class PPOTrainer:
    """Holds policy, critic, their optimizers and the KL controller; `round` samples and learns once."""

    def __init__(self, roles: Roles, reward: RewardModel, settings: PPOSettings, end_ids: set[int], critic_targets: str, critic_r: int):
        self.roles, self.reward, self.settings, self.end_ids = roles, reward, settings, end_ids
        self.policy = roles.add(POLICY, settings.lora_r, settings.lora_targets, settings.seed)
        self.critic = roles.add(CRITIC, critic_r, critic_targets, settings.seed)
        self.value_head = self._critic_from_reward()
        self.critic += list(self.value_head.parameters())
        self.policy_optimizer = torch.optim.AdamW(self.policy, lr=settings.learning_rate, eps=1e-5, weight_decay=0.0)
        self.critic_optimizer = torch.optim.AdamW(self.critic, lr=settings.critic_learning_rate, eps=1e-5, weight_decay=0.0)
        adaptive = settings.kl_control == "adaptive"
        self.controller = (
            AdaptiveKLController(settings.kl_coef, settings.kl_target, settings.kl_horizon)
            if adaptive
            else FixedKLController(settings.kl_coef)
        )
        self.order = random.Random(settings.seed)

    @torch.no_grad()
    def _critic_from_reward(self) -> nn.Linear:
        """The critic starts as the reward model, its normalisation folded into the head."""
        if self.reward.roles is self.roles:
            self.roles.load_state(CRITIC, self.roles.state(self.reward.role))
        head = scalar_head(self.roles.hidden_size, self.settings.seed).to(self.roles.device)
        head.weight.copy_(self.reward.head.weight / self.reward.std)
        head.bias.copy_((self.reward.head.bias - self.reward.mean) / self.reward.std)
        return head

    def sample_round(self, step: int, prompts: Sequence[list[int]]) -> tuple[Experience, Round]:
        experience = make_experience(
            self.roles,
            self.reward,
            self.value_head,
            prompts,
            self.end_ids,
            self.settings,
            self.controller.value,
            seed=self.settings.seed * 100_003 + step,
        )
        mask = experience.mask
        return experience, Round(
            step=step,
            score=float(experience.scores.mean()),
            kl=float(experience.kl.mean()),
            entropy=float((experience.entropy * mask).sum() / mask.sum()),
            length=float(mask.sum(-1).mean()),
            finished=sum(experience.finished) / len(experience.finished),
            kl_coef=self.controller.value,
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
                found = self._step(experience, minibatch, figures, first=steps == 0)
                totals, steps = [total + value for total, value in zip(totals, found, strict=True)], steps + 1
            if self.settings.early_stop_kl and found[3] > self.settings.early_stop_kl:
                break
        figures.policy_loss, figures.value_loss, figures.clip_fraction, figures.approximate_kl = (total / steps for total in totals)
        self.controller.update(figures.kl, len(rows))

    def _step(self, experience: Experience, rows: list[int], figures: Round, first: bool) -> tuple[float, float, float, float]:
        """One optimizer step of policy and critic; the loss is the mean over the minibatch's tokens, however it is cut into micro-batches."""
        tokens = float(experience.mask[rows].sum())
        totals = torch.zeros(4)
        for start in range(0, len(rows), self.settings.micro_batch):
            part = rows[start : start + self.settings.micro_batch]
            totals += self._accumulate(experience, part, tokens, figures, first and start == 0)
        if not math.isfinite(float(totals[:2].sum())):
            raise MigakiError(
                f"the loss of policy or critic became {totals[:2].tolist()} at update {figures.step}, episodes {rows[:4]}...; the policy from before is kept. Try a lower align.learning_rate"
            )
        for parameters, optimizer in ((self.policy, self.policy_optimizer), (self.critic, self.critic_optimizer)):
            nn.utils.clip_grad_norm_(parameters, self.settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return tuple(totals.tolist())

    def _accumulate(self, experience: Experience, rows: list[int], tokens: float, figures: Round, first: bool) -> torch.Tensor:
        batch, states = _rows_of(experience.batch, experience.states, rows)
        inside = experience.mask[rows].bool()
        old, advantages = experience.logprobs[rows][inside], experience.advantages[rows][inside]
        old_values, returns = experience.values[rows][inside], experience.returns[rows][inside]
        logprobs, _ = token_logprobs(self.roles, self.roles.final(POLICY, states, batch.mask), batch, self.settings.temperature)
        loss, ratio, clipped = policy_loss(logprobs, old, advantages, self.settings.clip_ratio)
        (loss.sum() / tokens).backward()
        values = self.value_head(self.roles.final(CRITIC, states, batch.mask)[batch.predicts])[:, 0]
        squared = value_loss(values, old_values, returns, self.settings.clip_value)
        (squared.sum() / tokens).backward()
        if first:  # nothing has been learnt yet: the ratio must be 1
            figures.first_ratio_error = float((ratio.detach() - 1).abs().max())
        approximate_kl = 0.5 * (logprobs - old).square()
        return torch.stack([part.detach().float().sum().cpu() / tokens for part in (loss, squared, clipped, approximate_kl)])


def _rows_of(batch: Batch, states: torch.Tensor, rows: list[int]) -> tuple[Batch, torch.Tensor]:
    """Some rows of a batch, cut to the longest of them."""
    width = int(batch.mask[rows].sum(-1).max())
    predicts = batch.predicts[rows, :width]
    targets = batch.ids[rows].roll(-1, dims=1)[:, :width][predicts]
    return Batch(rows, batch.ids[rows, :width], batch.mask[rows, :width], predicts, targets), states[rows, :width]


def run_ppo(
    trainer: PPOTrainer, prompts: Sequence[list[int]], on_round: Callable[[Round, Experience, list[int]], object]
) -> tuple[dict[str, torch.Tensor], str]:
    """All rounds. `on_round(figures, experience, rows of prompts)` hears of each. Returns the policy's adapter weights and why the run ended.

    A round whose KL exceeds the limit ends the run with the policy of before the update that led there.
    """
    settings, order = trainer.settings, []
    good = trainer.roles.state(POLICY)
    for step in range(1, settings.updates + 2):  # the last round only measures what the last update led to
        while len(order) < settings.episodes:
            order += trainer.order.sample(range(len(prompts)), len(prompts))
        rows, order = order[: settings.episodes], order[settings.episodes :]
        experience, figures = trainer.sample_round(step, [prompts[row] for row in rows])
        if figures.kl > settings.kl_limit:
            on_round(figures, experience, rows)
            return good, f"stopped before update {step}: KL {figures.kl:.2f} over the limit {settings.kl_limit}"
        good = trainer.roles.state(POLICY)
        if step <= settings.updates:
            try:
                trainer.learn(experience, figures)
            except MigakiError as error:
                if step == 1:
                    raise
                return good, str(error)
        on_round(figures, experience, rows)
    return good, "all updates done"
