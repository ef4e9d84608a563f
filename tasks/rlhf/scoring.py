"""The one way in which answers are scored for learning: the learned reward and the rules of the user, mixed by weight."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.models.batching import Batch, prompts_and_answers
from tasks.prompts.template import decode
from tasks.rlhf.reward import AnyRewardModel
from tasks.rlhf.rules import Rule
from tasks.rlhf.settings import PPOSettings

LEARNED = "learned"


class Scorer:
    """A reward model and rules. The tokenizer gives rules their texts and is not needed without any. Where there is no reward model answers are
    watched only, and nothing learns from a score.

    Raises:
        MigakiError: nothing counts, neither the reward model nor a rule.
    """

    def __init__(
        self,
        reward: AnyRewardModel | None,
        rules: Sequence[Rule] = (),
        learned_weight: float = 1.0,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ):
        if not learned_weight and not any(rule.weight for rule in rules):
            raise MigakiError(
                "align.learned_reward_weight = 0 and no rule of align.rule_rewards with a weight leave no reward: raise it, or give a rule"
            )
        self.reward, self.rules, self.learned_weight, self.tokenizer = reward, rules, learned_weight, tokenizer

    @torch.no_grad()
    def score(self, batch: Batch, states: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """(B,) mixed scores, and what they are mixed of, unweighted and by name; no parts where there are no rules. NaN without a reward model.

        Raises:
            MigakiError: a rule does not keep to its contract.
        """
        if self.reward is None:
            return torch.full((len(batch.ids),), math.nan, device=batch.ids.device), {}
        learned = self.reward.score(batch, states)
        if not self.rules:
            return self.learned_weight * learned, {}
        if self.tokenizer is None:
            raise ValueError("rules read texts, which takes a tokenizer")
        prompt_ids, answer_ids = prompts_and_answers(batch)
        prompts = [decode(self.tokenizer, ids) for ids in prompt_ids]
        answers = [decode(self.tokenizer, ids, skip_special_tokens=True) for ids in answer_ids]
        parts = {LEARNED: learned} | {rule.name: learned.new_tensor(rule(prompts, answers)) for rule in self.rules}
        return self.learned_weight * learned + sum(rule.weight * parts[rule.name] for rule in self.rules), parts


def clipped_scores(scores: Tensor, finished: list[bool], settings: PPOSettings) -> Tensor:
    """(B,) scores cut at `score_clip`, less the penalty where an answer was cut off before its end."""
    cut_off = torch.tensor([not done for done in finished], device=scores.device)
    return scores.clamp(-settings.score_clip, settings.score_clip) - settings.missing_end_penalty * cut_off
