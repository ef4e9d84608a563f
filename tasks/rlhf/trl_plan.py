"""How the settings of align become those of TRL's trainers, and which combinations cannot run."""

from dataclasses import dataclass

from tasks.errors import MigakiError
from tasks.rlhf.settings import PPOSettings

FROM_GROUPS, FROM_PAIRS = ("rloo", "grpo"), ("dpo", "kto")


@dataclass(frozen=True)
class Plan:
    """How the settings become TRL's: rows (answers, or DPO's pairs) of an optimizer step, of a pass through the model, and steps of an update."""

    rows: int
    micro: int
    steps_per_update: int
    updates: int

    @property
    def steps(self) -> int:
        return self.steps_per_update * self.updates


def plan(settings: PPOSettings) -> Plan:
    """How these settings run.

    Raises:
        MigakiError: the algorithm cannot run with them, or would leave one without effect.
    """
    name, answers = settings.algorithm, settings.episodes // settings.minibatches
    by = 2 if name == "dpo" else 1
    if settings.episodes % (settings.minibatches * by):
        what = "whole pairs, two answers each" if by == 2 else "answers"
        raise MigakiError(
            f"align.algorithm = {name} splits a round into minibatches of {what}: align.episodes = {settings.episodes} is no multiple of {by} * align.minibatches = {by * settings.minibatches}"
        )
    rows = answers // by
    micro = max(size for size in range(1, rows + 1) if rows % size == 0 and size <= max(1, settings.micro_batch // by))
    _refuse_unusable(settings, micro)
    return Plan(rows, micro, settings.epochs * settings.minibatches, settings.updates)


def _refuse_unusable(settings: PPOSettings, micro: int) -> None:
    name = settings.algorithm
    if name in FROM_GROUPS and settings.episodes % settings.group_size:
        raise MigakiError(
            f"align.algorithm = {name} samples whole groups: align.episodes = {settings.episodes} is no multiple of align.group_size = {settings.group_size}"
        )
    if name in FROM_PAIRS and (settings.rule_rewards or settings.learned_reward_weight != 1):
        raise MigakiError(
            f"align.algorithm = {name} learns from preference pairs and no reward: align.rule_rewards and align.learned_reward_weight steer ppo, rloo and grpo"
        )
    if name in FROM_PAIRS and not settings.kl_coef:
        raise MigakiError(f"align.kl_coef = 0 is {name}'s beta, and with it there is nothing to learn: give a value above 0")
    if name == "kto" and micro < 2:
        raise MigakiError(
            f"align.algorithm = kto compares answers in memory with each other: with align.episodes = {settings.episodes}, align.minibatches = {settings.minibatches} "
            f"and align.micro_batch = {settings.micro_batch} there is one at a time; the first two must leave a number that micro_batch can divide into parts of 2 or more"
        )
