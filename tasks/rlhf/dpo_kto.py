"""DPO (Rafailov et al. 2023) and KTO (Ethayarajh et al. 2024): learning from preference pairs alone, without a reward."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from torch import Tensor

from tasks.rlhf.learner import Learner
from tasks.rlhf.pairs import TokenPair
from tasks.rlhf.trl_trainers import make_trainer, shuffled


def run_on_pairs(learner: Learner, prompts: Sequence[list[int]], pairs: Sequence[TokenPair], folder: str) -> tuple[dict[str, Tensor], str]:
    """DPO or KTO on preference pairs. Answers to the prompts are sampled before each update and after the last, to be scored and watched only.

    Returns what `run_on_groups` returns.

    Raises:
        MigakiError: the loss is not finite in the first update.
    """
    settings, plan = learner.settings, learner.plan
    if settings.algorithm == "dpo":
        columns = pair_columns([pairs[i] for i in shuffled(len(pairs), plan.rows * plan.steps, settings.seed)])
    else:
        columns = answer_columns(
            [(pairs[i // 2], i % 2 == 0) for i in shuffled(2 * len(pairs), plan.rows * plan.steps, settings.seed)], plan.micro
        )
    asked = shuffled(len(prompts), settings.episodes * (settings.updates + 1), settings.seed)

    def measure() -> None:
        start = (learner.progress.step - 1) * settings.episodes
        learner.measure(prompts, asked[start : start + settings.episodes])

    arguments = {"max_length": None, "train_sampling_strategy": "sequential"}
    trainer = make_trainer(learner, arguments, Dataset.from_dict(columns), folder, measure)
    return learner.run(measure, trainer.train)


def pair_columns(pairs: Sequence[TokenPair]) -> dict[str, list[Any]]:
    """What TRL's DPO reads."""
    return dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), map(list, zip(*pairs, strict=True)), strict=True))


def answer_columns(sides: Sequence[tuple[TokenPair, bool]], micro: int) -> dict[str, list[Any]]:
    """What TRL's KTO reads, of pairs and whether their chosen side is meant. Its KL term comes from answers to other prompts of the same micro-batch."""
    answers = [pair[1] if chosen else pair[2] for pair, chosen in sides]
    others = [answers[start + (i - 1) % micro] for start in range(0, len(answers), micro) for i in range(micro)]
    return {
        "prompt_ids": [pair[0] for pair, _ in sides],
        "completion_ids": answers,
        "KL_completion_ids": others,
        "label": [chosen for _, chosen in sides],
    }
