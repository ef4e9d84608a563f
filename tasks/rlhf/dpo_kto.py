"""DPO (Rafailov et al. 2023) and KTO (Ethayarajh et al. 2024): learning from what people preferred or liked alone, without a reward."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from torch import Tensor

from tasks.rlhf.learner import Learner
from tasks.rlhf.pairs import TokenAnswer, TokenPair
from tasks.rlhf.trl_trainers import make_trainer, shuffled
from tasks.rlhf.unpaired import weights


def run_dpo(learner: Learner, prompts: Sequence[list[int]], pairs: Sequence[TokenPair], folder: str) -> tuple[dict[str, Tensor], str]:
    """DPO on preference pairs. Answers to the prompts are sampled before each update and after the last, to be scored and watched only.

    Returns what `run_on_groups` returns.

    Raises:
        MigakiError: the loss is not finite in the first update.
    """
    order = shuffled(len(pairs), learner.plan.rows * learner.plan.steps, learner.settings.seed)
    return _run(learner, prompts, pair_columns([pairs[i] for i in order]), folder)


def run_kto(learner: Learner, prompts: Sequence[list[int]], answers: Sequence[TokenAnswer], folder: str) -> tuple[dict[str, Tensor], str]:
    """KTO on single answers that were liked or not, in other respects as `run_dpo`.

    Raises:
        MigakiError: as there, or all answers were liked, or none.
    """
    liked = sum(good for _, _, good in answers)
    desirable, undesirable = weights(liked, len(answers) - liked)
    order = shuffled(len(answers), learner.plan.rows * learner.plan.steps, learner.settings.seed)
    columns = answer_columns([answers[i] for i in order], learner.plan.micro)
    return _run(learner, prompts, columns, folder, desirable_weight=desirable, undesirable_weight=undesirable)


def _run(
    learner: Learner, prompts: Sequence[list[int]], columns: dict[str, list[Any]], folder: str, **arguments: Any
) -> tuple[dict[str, Tensor], str]:
    settings = learner.settings
    asked = shuffled(len(prompts), settings.episodes * (settings.updates + 1), settings.seed)

    def measure() -> None:
        start = (learner.progress.step - 1) * settings.episodes
        learner.measure(prompts, asked[start : start + settings.episodes])

    arguments |= {"max_length": None, "train_sampling_strategy": "sequential"}
    trainer = make_trainer(learner, arguments, Dataset.from_dict(columns), folder, measure)
    return learner.run(measure, trainer.train)


def pair_columns(pairs: Sequence[TokenPair]) -> dict[str, list[Any]]:
    """What TRL's DPO reads."""
    return dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), map(list, zip(*pairs, strict=True)), strict=True))


def answer_columns(answers: Sequence[TokenAnswer], micro: int) -> dict[str, list[Any]]:
    """What TRL's KTO reads. Its KL term comes from mismatched answers: of each micro-batch's, the nearest before that is to another prompt."""
    batches = [answers[start : start + micro] for start in range(0, len(answers), micro)]
    return {
        "prompt_ids": [prompt for prompt, _, _ in answers],
        "completion_ids": [answer for _, answer, _ in answers],
        "KL_completion_ids": [_mismatched(batch, place) for batch in batches for place in range(len(batch))],
        "label": [liked for _, _, liked in answers],
    }


def _mismatched(batch: Sequence[TokenAnswer], place: int) -> list[int]:
    """An answer to another prompt than this one's; where the batch has none, its neighbour's."""
    before = [batch[place - step] for step in range(1, len(batch))]
    return next((answer for prompt, answer, _ in before if prompt != batch[place][0]), before[0][1])
