"""Proximal policy optimization (Schulman et al. 2017) as used for language models (Ziegler et al. 2019; Huang et al. 2024).

Policy and critic are separate adapters on one trunk, whose states come with the experience: a pass over a round runs the top layers only.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from tasks.errors import MigakiError
from tasks.models.batching import Batch, prompts_and_answers
from tasks.models.data_parallel import all_reduce, all_reduce_gradients, shard
from tasks.models.likelihood import target_logprobs
from tasks.rlhf.guards import WINDOW, Guards
from tasks.rlhf.kl import AdaptiveKLController, FixedKLController
from tasks.rlhf.losses import policy_loss, value_loss
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.rollout import CRITIC, POLICY, Critic, Experience, make_experience
from tasks.rlhf.scoring import Scorer
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
    first_ratio_error: float | None = 0.0  # None here and below: this algorithm has no such figure, or learnt nothing in this round
    policy_loss: float | None = 0.0
    value_loss: float | None = 0.0
    clip_fraction: float | None = 0.0
    approximate_kl: float | None = 0.0
    second_score: float | None = None  # of a reward model that only watches
    distinct_2: float = 1.0
    refused: float = 0.0
    copied: float = 0.0
    margin: float | None = None  # of chosen over rejected answers, in rewards implied by the policy (DPO, KTO)


class PPOTrainer:
    """Holds policy, critic, their optimizers and the KL controller; `round` samples and learns once."""

    def __init__(
        self,
        roles: Roles,
        reward: RewardModel,
        settings: PPOSettings,
        end_ids: set[int],
        critic_targets: str,
        critic_r: int,
        watcher: RewardModel | None = None,
        scorer: Scorer | None = None,
        critic_from: RewardModel | None = None,
    ):
        self.roles, self.reward, self.settings, self.end_ids, self.watcher = roles, reward, settings, end_ids, watcher
        self.scorer = scorer or Scorer(reward)
        self.policy = roles.add(POLICY, settings.lora_r, settings.lora_targets, settings.seed)
        roles.add(CRITIC, critic_r, critic_targets, settings.seed)
        self.critic = Critic(roles, self._critic_head(critic_from or reward), settings.critic_fraction)
        self.policy_optimizer = torch.optim.AdamW(self.policy, lr=settings.learning_rate, eps=1e-5, weight_decay=0.0)
        self.critic_optimizer = torch.optim.AdamW(self.critic.parameters, lr=settings.critic_learning_rate, eps=1e-5, weight_decay=0.0)
        adaptive = settings.kl_control == "adaptive"
        self.controller = (
            AdaptiveKLController(settings.kl_coef, settings.kl_target, settings.kl_horizon)
            if adaptive
            else FixedKLController(settings.kl_coef)
        )
        self.order = random.Random(settings.seed)

    @torch.no_grad()
    def _critic_head(self, reward: RewardModel) -> nn.Linear:
        """The critic starts as a reward model, whose normalisation and weight are folded into the head."""
        if reward.roles is self.roles:
            self.roles.load_state(CRITIC, self.roles.state(reward.role))
        head = scalar_head(self.roles.hidden_size, self.settings.seed).to(self.roles.device)
        scale = self.scorer.learned_weight / reward.std
        head.weight.copy_(reward.head.weight * scale)
        bias = 0.0 if reward.head.bias is None else reward.head.bias
        head.bias.fill_(float(bias - reward.mean) * scale)
        return head

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
        experience = make_experience(
            self.roles,
            self.scorer,
            self.critic,
            prompts,
            self.end_ids,
            self.settings,
            self.controller.value,
            seed=self.settings.seed * 100_003 + step,
            watcher=self.watcher,
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
            second_score=None if experience.second is None else float(experience.second.mean()),
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


@dataclass
class Progress:
    """Where a run stands between two rounds: with the trainer's own state, all that decides what comes next."""

    step: int = 1  # the round to come
    queue: list[int] = field(default_factory=list)  # rows of prompts still to be asked in this pass over them
    rounds: list[Round] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(
        default_factory=dict
    )  # the policy whose recent rewards were highest, in case a limit ends the run
    best_reward: float = -math.inf
    earned: list[float] = field(default_factory=list)  # mean reward of each round, KL penalty included

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Progress":
        return cls(**state | {"rounds": [Round(**figures) for figures in state["rounds"]]})

    def note(self, figures: Round, experience: Experience, policy: dict[str, torch.Tensor]) -> None:
        """Keep the policy that sampled this round if its last rounds earned the most so far."""
        self.rounds.append(figures)
        self.earned.append(float(experience.rewards.mean()))
        recent = sum(self.earned[-WINDOW:]) / len(self.earned[-WINDOW:])
        if (len(self.earned) >= WINDOW and recent > self.best_reward) or not self.best:
            self.best, self.best_reward = policy, recent if len(self.earned) >= WINDOW else -math.inf


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
        reason = watch(guards, figures, experience)
        if not reason:
            progress.note(figures, experience, trainer.roles.state(POLICY))
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
    return trainer.roles.state(POLICY), "all updates done"


def watch(guards: Guards, figures: Round, experience: Experience) -> str | None:
    """Put the guards' measures into `figures`; says which limit is broken, if any."""
    prompts, answers = prompts_and_answers(experience.batch)
    for name, value in guards.measure(prompts, answers).items():
        setattr(figures, name, value)
    return guards.reason_to_stop({name: getattr(figures, name) for name in ("kl", "length", "distinct_2", "refused", "copied")})
