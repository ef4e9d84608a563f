"""TRL's trainers of the algorithms beside PPO, RLOO, GRPO, DPO and KTO, on token ids and with what all four share.

RLOO (Ahmadian et al. 2024) and GRPO (Shao et al. 2024) sample a group of answers to each prompt and compare them with each other under the
same reward as PPO's. DPO (Rafailov et al. 2023) and KTO (Ethayarajh et al. 2024) learn from preference pairs alone. Whichever it is, an update
takes `epochs * minibatches` optimizer steps of `episodes / minibatches` answers, and every update has a round of sampled answers that is
scored, recorded and held against the limits, as in PPO. TRL gets token ids, never text, so what it learns on is what every other part of
Migaki encodes; its masks come from lengths, so a padding token that also ends answers does no harm. Margins and weights of pairs steer the
reward models only. Beta is `kl_coef`: RLOO takes it times the KL from an answer's reward, GRPO adds it times the KL (k3) to the loss, and to
DPO and KTO it is the KL weight of the objective whose optimum they fit.
"""

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

from datasets import Dataset
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, RLOOConfig, RLOOTrainer

from tasks.errors import MigakiError
from tasks.rlhf.learner import Learner, Stopped
from tasks.rlhf.roles import POLICY

# What TRL logs, by the name of a round's figure.
LOGGED = {"loss": "policy_loss", "clip_ratio/region_mean": "clip_fraction", "rewards/margins": "margin"}


class _Silent:
    def _send_telemetry(self) -> None:
        """TRL reports each trainer to its makers; what is trained here is nobody else's business."""


class _TokenPrompts(_Silent):
    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Prompts come as token ids."""
        return prompts, None, {}


class _TokenPairs(_Silent):
    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """Pairs come as token ids."""
        return dataset


class TokenRLOO(_TokenPrompts, RLOOTrainer):
    """RLOO on prompts of token ids."""


class TokenGRPO(_TokenPrompts, GRPOTrainer):
    """GRPO on prompts of token ids."""


class TokenDPO(_TokenPairs, DPOTrainer):
    """DPO on pairs of token ids."""


class TokenKTO(_TokenPairs, KTOTrainer):
    """KTO on single answers of token ids."""


TRAINERS = {"rloo": (RLOOConfig, TokenRLOO), "grpo": (GRPOConfig, TokenGRPO), "dpo": (DPOConfig, TokenDPO), "kto": (KTOConfig, TokenKTO)}


class _Listener(TrainerCallback):
    """Hears TRL's figures of each optimizer step."""

    def __init__(self, learner: Learner, after_update: Callable[[], object]):
        self.learner, self.after_update = learner, after_update

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs is None or "loss" not in logs:  # the summary at the end
            return
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                self._refuse(f"{name} became {logs[name]}", state.global_step)
        for name, figure in LOGGED.items():
            if logs.get(name) is not None:
                self.learner.logs.setdefault(figure, []).append(logs[name])
        if state.global_step % self.learner.plan.steps_per_update == 0:
            self.after_update()

    def _refuse(self, what: str, step: int) -> None:
        reason = f"{what} at optimizer step {step} of {self.learner.plan.steps}; try a lower align.learning_rate"
        if len(self.learner.progress.rounds) < 2:
            raise MigakiError(reason)
        raise Stopped(f"{reason}. The best policy from before is kept")


def make_trainer(
    learner: Learner, arguments: dict[str, Any], dataset: Dataset, folder: str, after_update: Callable[[], object], **parts: Any
) -> Trainer:
    """TRL's trainer of this algorithm, with what all four share: the optimizer of PPO, no checkpoints, no reports, nothing on standard output."""
    settings, plan, model = learner.settings, learner.plan, learner.roles.model
    config, kind = TRAINERS[settings.algorithm]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TRL still uses names that transformers renames
        args = config(
            output_dir=folder,
            max_steps=plan.steps,
            per_device_train_batch_size=plan.micro,
            gradient_accumulation_steps=plan.rows // plan.micro,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant",
            optim="adamw_torch",
            adam_epsilon=1e-5,
            max_grad_norm=settings.max_grad_norm,
            beta=settings.kl_coef,
            seed=settings.seed,
            disable_dropout=True,
            gradient_checkpointing=False,
            bf16=False,  # which TRL would turn on, whatever the model's type
            use_cpu=learner.roles.device.type == "cpu",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_steps=1,
            logging_nan_inf_filter=False,  # else NaN is logged as the mean of the steps before, and nobody hears of it
            **arguments,
        )
    listener = _Listener(learner, after_update)
    trainer = kind(
        model=model, args=args, train_dataset=dataset, processing_class=learner.participants.scorer.tokenizer, callbacks=[listener], **parts
    )
    trainer.remove_callback(PrinterCallback)
    model.set_adapter(POLICY)  # the only one that learns, after TRL added its own for the reference
    return trainer


def shuffled(count: int, wanted: int, seed: int) -> list[int]:
    """`wanted` of the numbers below `count`: each once in random order, then each once in another, and so on."""
    generator = random.Random(seed)
    order: list[int] = []
    while len(order) < wanted:
        order += generator.sample(range(count), count)
    return order[:wanted]
