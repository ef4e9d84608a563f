"""What the algorithms of TRL have in common with PPO: rounds of sampled answers that are scored, recorded and held against the limits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tasks.inference.sampling import SamplingParams, sample
from tasks.models.batching import Example, as_rows, collate
from tasks.rlhf.guards import DONE, Guards
from tasks.rlhf.kl import kl_estimate
from tasks.rlhf.participants import Participants, score_answers
from tasks.rlhf.roles import POLICY
from tasks.rlhf.rounds import Progress, Round, ScoredRound, watch
from tasks.rlhf.scoring import clipped_scores
from tasks.rlhf.trl_plan import plan


class Stopped(Exception):
    """A limit ended the run; the message says which."""


@dataclass(kw_only=True)
class SampledRound(ScoredRound):
    """A round of answers, scored, that TRL learns from or that are only watched."""

    earned: Tensor  # (B,) scores after clip and missing-end penalty: what RLOO and GRPO learn from
    entropy: float  # of the policy, nats per token
    second_score: float | None  # mean under the reward model that only watches


@dataclass
class Learner:
    """The policy while TRL trains it: scores each round of its answers and holds it against the limits. `on_round` hears of each, as in `run_ppo`."""

    participants: Participants
    guards: Guards
    on_round: Callable[[Round, SampledRound, list[int]], object]

    def __post_init__(self) -> None:
        self.settings, self.roles, self.end_ids = self.guards.settings, self.participants.roles, self.participants.end_ids
        self.plan = plan(self.settings)
        self.progress = Progress()
        self.logs: dict[str, list[float]] = {}  # what TRL logged since the last round, by the name of a round's figure
        self._untold: tuple[Round, SampledRound, list[int]] | None = None
        self.roles.add(POLICY, self.settings.lora_r, self.settings.lora_targets, self.settings.seed)
        self.roles.model.set_adapter(POLICY)
        # TRL stops at the tokenizer's eos and at what the model declares, so the model declares every token that ends an answer.
        generation: Any = self.roles.base.generation_config
        generation.eos_token_id = sorted(self.end_ids)

    def take(self, prompts: Sequence[list[int]], answers: Sequence[list[int]], rows: list[int]) -> SampledRound:
        """Score the next round, hold it against the limits, and keep the policy that sampled it if it is the best so far.

        Raises:
            Stopped: a limit is broken.
            MigakiError: a rule does not keep to its contract.
        """
        self.tell()
        sampled = self._scored(prompts, answers)
        figures = self._figures(sampled)
        reason = watch(self.guards, figures, sampled.batch)
        self._untold = figures, sampled, rows
        self.roles.model.set_adapter(POLICY)  # scoring left another adapter active
        if reason:
            which = "last" if figures.score is None else "best"
            raise Stopped(f"stopped at update {self.progress.step}: {reason}; the {which} policy from before is kept")
        self.progress.note(figures, sampled.rewards, self.roles.state(POLICY))
        self.progress.step += 1
        return sampled

    def measure(self, prompts: Sequence[list[int]], rows: list[int]) -> None:
        """A round of which nothing is learnt; raises what `take` raises."""
        asked = [prompts[row] for row in rows]
        answers = sample(
            self.roles.model,
            asked,
            SamplingParams(
                self.settings.answer_tokens,
                self.end_ids,
                self.settings.temperature,
                seed=self.settings.seed * 100_003 + self.progress.step,
            ),
            batch=len(asked),
        )
        self.take(asked, [answer.ids for answer in answers], rows)

    def tell(self) -> None:
        """Pass on the round before, now that what was learnt after it is known."""
        if self._untold:
            for name, values in self.logs.items():
                setattr(self._untold[0], name, sum(values) / len(values))
            self.on_round(*self._untold)
        self._untold, self.logs = None, {}

    @torch.no_grad()
    def _scored(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> SampledRound:
        settings = self.settings
        examples = [Example([*prompt, *answer], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
        batch = collate(examples, range(len(examples)), 0, str(self.roles.device))
        said = score_answers(self.participants, batch, self.roles.states(batch), settings.temperature)
        kl = as_rows(kl_estimate(said.logprobs, said.reference), batch).sum(-1)
        finished = [answer[-1] in self.end_ids for answer in answers]
        earned = clipped_scores(said.scores, finished, settings)
        return SampledRound(
            batch=batch,
            scores=said.scores,
            kl=kl,
            rewards=earned - settings.kl_coef * kl,
            finished=finished,
            parts=said.parts,
            earned=earned,
            entropy=float(said.entropy.mean()),
            second_score=None if said.second_scores is None else float(said.second_scores.mean()),
        )

    def _figures(self, sampled: SampledRound) -> Round:
        return Round(
            step=self.progress.step,
            score=None if self.participants.scorer.reward is None else float(sampled.scores.mean()),
            kl=float(sampled.kl.mean()),
            entropy=sampled.entropy,
            length=float(sampled.batch.answer_tokens.float().mean()),
            finished=sum(sampled.finished) / len(sampled.finished),
            kl_coef=self.settings.kl_coef,
            first_ratio_error=None,
            policy_loss=None,
            value_loss=None,
            clip_fraction=None,
            approximate_kl=None,
            second_score=sampled.second_score,
        )

    def run(self, *parts: Callable[[], object]) -> tuple[dict[str, Tensor], str]:
        """Run the parts one after the other until a limit ends them; the policy's adapter weights, and why the run ended."""
        try:
            for part in parts:
                part()
            policy, ending = self.roles.state(POLICY), DONE
        except Stopped as stopped:
            policy, ending = self.progress.best, str(stopped)
        self.tell()
        self.roles.model.eval()
        return policy, ending
