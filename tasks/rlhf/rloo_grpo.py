"""RLOO (Ahmadian et al. 2024) and GRPO (Shao et al. 2024): answers in groups to one prompt, compared with each other under the same reward as PPO's."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from torch import Tensor

from tasks.rlhf.learner import Learner
from tasks.rlhf.trl_trainers import make_trainer, shuffled


def run_on_groups(learner: Learner, prompts: Sequence[list[int]], folder: str) -> tuple[dict[str, Tensor], str]:
    """RLOO or GRPO: groups of answers to prompts of token ids, compared under the learner's reward. TRL writes nowhere but to `folder`.

    Returns the policy's adapter weights and why the run ended, as `run_ppo` does.

    Raises:
        MigakiError: the loss is not finite in the first update, or a rule does not keep to its contract.
    """
    settings = learner.settings
    arguments = {
        "num_generations": settings.group_size,
        "generation_batch_size": settings.episodes,
        "num_iterations": settings.epochs,
        "max_completion_length": settings.answer_tokens,
        "temperature": settings.temperature,
        "epsilon": settings.clip_ratio,
    }

    def reward(prompts: list[list[int]], completion_ids: list[list[int]], row: list[int], **_: Any) -> list[float]:
        return learner.take(prompts, completion_ids, row).earned.tolist()

    dataset = Dataset.from_dict({"prompt": list(prompts), "row": list(range(len(prompts)))})
    trainer = make_trainer(learner, arguments, dataset, folder, lambda: None, reward_funcs=reward)
    last = shuffled(len(prompts), settings.episodes, settings.seed)
    return learner.run(trainer.train, lambda: learner.measure(prompts, last))
