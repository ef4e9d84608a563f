"""The algorithms beside PPO, by TRL's trainers: RLOO, GRPO, DPO and KTO.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, RLOOConfig, RLOOTrainer

from tasks.data.records import Preference
from tasks.errors import MigakiError
from tasks.inference.sampling import sample
from tasks.models.batching import Batch, Example, collate
from tasks.models.likelihood import target_logprobs, target_logprobs_and_entropy
from tasks.prompts.template import encode_example, end_ids
from tasks.rlhf.guards import Guards
from tasks.rlhf.kl import kl_estimate
from tasks.rlhf.ppo import Progress, Round, watch
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import Roles
from tasks.rlhf.rollout import POLICY, as_rows, clipped_scores
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import PPOSettings

TokenPair = tuple[list[int], list[int], list[int]]  # prompt, chosen answer, rejected answer
FROM_GROUPS, FROM_PAIRS = ("rloo", "grpo"), ("dpo", "kto")
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


class Stopped(Exception):
    """A limit ended the run; the message says which."""


@dataclass
class Sampled:
    """A round of answers, scored. Named as in PPO's experience; (B,) each but for the entropy."""

    batch: Batch
    entropy: float  # of the policy, nats per token
    scores: Tensor
    earned: Tensor  # scores after clip and missing-end penalty: what RLOO and GRPO learn from
    kl: Tensor
    rewards: Tensor
    finished: list[bool]
    parts: dict[str, Tensor]
    second_score: float  # mean under the reward model that only watches


@dataclass
class Learner:
    """Who takes part in a run: the policy among the roles, what scores it, and who hears of each round (`on_round`, as in `run_ppo`)."""

    roles: Roles
    scorer: Scorer
    watcher: RewardModel
    guards: Guards
    on_round: Callable[[Round, Sampled, list[int]], object]

    def __post_init__(self) -> None:
        self.settings, self.tokenizer = self.guards.settings, self.scorer.tokenizer
        self.plan = plan(self.settings)
        self.ends = end_ids(self.tokenizer)
        self.progress, self.logs = Progress(), {}
        self._untold: tuple[Round, Sampled, list[int]] | None = None
        self.roles.add(POLICY, self.settings.lora_r, self.settings.lora_targets, self.settings.seed)
        self.roles.model.set_adapter(POLICY)
        # Every token that ends an answer elsewhere ends one here: TRL knows the tokenizer's eos and what the model declares.
        self.roles.base.generation_config.eos_token_id = sorted(self.ends)

    def take(self, prompts: Sequence[list[int]], answers: Sequence[list[int]], rows: list[int]) -> Sampled:
        """Score the next round, hold it against the limits, and keep the policy that sampled it if it is the best so far.

        Raises:
            Stopped: a limit is broken.
            MigakiError: a rule does not keep to its contract.
        """
        self.tell()
        sampled = self._scored(prompts, answers)
        figures = self._figures(sampled)
        reason = watch(self.guards, figures, sampled)
        self._untold = figures, sampled, rows
        self.roles.model.set_adapter(POLICY)  # scoring left another role acting
        if reason:
            raise Stopped(f"stopped at update {self.progress.step}: {reason}; the best policy from before is kept")
        self.progress.note(figures, sampled, self.roles.state(POLICY))
        self.progress.step += 1
        return sampled

    def measure(self, prompts: Sequence[list[int]], rows: list[int]) -> None:
        """A round of which nothing is learnt; raises what `take` raises."""
        asked = [prompts[row] for row in rows]
        answers = sample(
            self.roles.model,
            asked,
            max_new_tokens=self.settings.answer_tokens,
            end_ids=self.ends,
            temperature=self.settings.temperature,
            seed=self.settings.seed * 100_003 + self.progress.step,
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
    def _scored(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> Sampled:
        roles, settings = self.roles, self.settings
        examples = [Example([*prompt, *answer], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
        batch = collate(examples, range(len(examples)), 0, str(roles.device))
        states = roles.states(batch)
        final = roles.final(POLICY, states, batch.mask)[batch.predicts]
        logprobs, entropy = target_logprobs_and_entropy(roles.head, final, batch.targets, settings.temperature)
        final = roles.final(None, states, batch.mask)[batch.predicts]
        reference = target_logprobs(roles.head, final, batch.targets, settings.temperature)
        kl = as_rows(kl_estimate(logprobs, reference), batch).sum(-1)
        finished = [answer[-1] in self.ends for answer in answers]
        scores, parts = self.scorer.score(batch, states)
        earned = clipped_scores(scores, finished, settings)
        second = float(self.watcher.score(batch, states).mean())
        return Sampled(batch, float(entropy.mean()), scores, earned, kl, earned - settings.kl_coef * kl, finished, parts, second)

    def _figures(self, sampled: Sampled) -> Round:
        return Round(
            step=self.progress.step,
            score=float(sampled.scores.mean()),
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


class _Listener(TrainerCallback):
    """Hears TRL's figures of each optimizer step."""

    def __init__(self, learner: Learner, after_update: Callable[[], object]):
        self.learner, self.after_update = learner, after_update

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if "loss" not in (logs or {}):  # the summary at the end
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
    trainer = _trainer(learner, arguments, dataset, folder, lambda: None, reward_funcs=reward)
    last = shuffled(len(prompts), settings.episodes, settings.seed)
    return _run(learner, trainer.train, lambda: learner.measure(prompts, last))


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
    trainer = _trainer(learner, arguments, Dataset.from_dict(columns), folder, measure)
    return _run(learner, measure, trainer.train)


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Preference], limit: int) -> list[TokenPair]:
    """The pairs of which both sides, prompt included, are at most `limit` tokens."""
    found = []
    for pair in pairs:
        (chosen, start), (rejected, _) = (encode_example(tokenizer, pair.messages, answer) for answer in (pair.chosen, pair.rejected))
        if max(len(chosen), len(rejected)) <= limit:
            found.append((chosen[:start], chosen[start:], rejected[start:]))
    return found


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


def shuffled(count: int, wanted: int, seed: int) -> list[int]:
    """`wanted` of the numbers below `count`: each once in random order, then each once in another, and so on."""
    generator, order = random.Random(seed), []
    while len(order) < wanted:
        order += generator.sample(range(count), count)
    return order[:wanted]


def _trainer(
    learner: Learner, arguments: dict[str, Any], dataset: Dataset, folder: str, after_update: Callable[[], object], **parts: Any
) -> Trainer:
    """TRL's trainer of this algorithm, with what all four share: the optimizer of PPO, no checkpoints, no reports, nothing on standard output."""
    settings, plan, model = learner.settings, learner.plan, learner.roles.model
    config, kind = TRAINERS[settings.algorithm]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of names that transformers renames and TRL still uses
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
            bf16=False,  # TRL's own default, whatever the model's type
            use_cpu=learner.roles.device.type == "cpu",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_steps=1,
            logging_nan_inf_filter=False,  # it would show a mean in place of NaN
            **arguments,
        )
    listener = _Listener(learner, after_update)
    trainer = kind(model=model, args=args, train_dataset=dataset, processing_class=learner.tokenizer, callbacks=[listener], **parts)
    trainer.remove_callback(PrinterCallback)
    model.set_adapter(POLICY)  # the only one that learns, after TRL added its own for the reference
    return trainer


def _run(learner: Learner, *parts: Callable[[], object]) -> tuple[dict[str, Tensor], str]:
    try:
        for part in parts:
            part()
        policy, ending = learner.roles.state(POLICY), "all updates done"
    except Stopped as stopped:
        policy, ending = learner.progress.best, str(stopped)
    learner.tell()
    learner.roles.model.eval()
    return policy, ending
