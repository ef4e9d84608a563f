"""A round of sampled answers, whatever learns from it: its figures, and where a run stands between two rounds."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from tasks.models.batching import Batch, prompts_and_answers
from tasks.rlhf.guards import LIMITED, WINDOW, Guards


@dataclass
class Round:
    """What a round came to, for curves and limits. KL in nats per answer, entropy in nats per token, length in tokens."""

    step: int
    score: float | None  # None where nothing scores answers
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


@dataclass(kw_only=True)
class ScoredRound:
    """The answers of a round with what they were given; (B,) each."""

    batch: Batch
    scores: Tensor  # of the reward model and the rules, before penalties; NaN where nothing scores answers
    kl: Tensor  # k1 summed over the answer, nats
    rewards: Tensor  # what the answer earned in all, KL penalty included
    finished: list[bool]
    parts: dict[str, Tensor] = field(default_factory=dict)  # what scores are mixed of, where there are rules


@dataclass
class Progress:
    """Where a run stands between two rounds: with the trainer's own state, all that decides what comes next."""

    step: int = 1  # the round to come
    queue: list[int] = field(default_factory=list)  # rows of prompts still to be asked in this pass over them
    rounds: list[Round] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # the policy whose recent rewards were highest, in case a limit ends the run
    best_reward: float = -math.inf
    earned: list[float] = field(default_factory=list)  # mean reward of each round, KL penalty included

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Progress":
        return cls(**state | {"rounds": [Round(**figures) for figures in state["rounds"]]})

    def note(self, figures: Round, rewards: Tensor, policy: dict[str, Tensor]) -> None:
        """Keep the policy that sampled this round if its last rounds earned the most so far, or where nothing scores answers, in any case."""
        self.rounds.append(figures)
        if figures.score is None:
            self.best = policy
            return
        self.earned.append(float(rewards.mean()))
        recent = sum(self.earned[-WINDOW:]) / len(self.earned[-WINDOW:])
        if (len(self.earned) >= WINDOW and recent > self.best_reward) or not self.best:
            self.best, self.best_reward = policy, recent if len(self.earned) >= WINDOW else -math.inf


def watch(guards: Guards, figures: Round, batch: Batch) -> str | None:
    """Put the guards' measures of a round's answers into `figures`; says which limit is broken, if any."""
    prompts, answers = prompts_and_answers(batch)
    for name, value in guards.measure(prompts, answers).items():
        setattr(figures, name, value)
    return guards.reason_to_stop({name: getattr(figures, name) for name in LIMITED})
