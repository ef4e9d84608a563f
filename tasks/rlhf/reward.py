"""Reward models from preference pairs.

Two are trained, each on its half of the pairs: the first steers PPO, the second only watches, since a policy that exploits the first has no
reason to please the second. Scores are normalised to mean 0 and standard deviation 1 on answers of the tuned model.
"""

import json
import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.models.batching import Batch, Example, by_length, collate
from tasks.models.data_parallel import all_reduce, all_reduce_gradients, shard
from tasks.models.folders import refuse_unsafe
from tasks.models.linear import sped_up
from tasks.models.loader import load_tokenizer
from tasks.models.trunk import position_ids
from tasks.rlhf.losses import bradley_terry
from tasks.rlhf.pairs import PairSet
from tasks.rlhf.roles import Roles, last_state, scalar_head
from tasks.rlhf.settings import RewardSettings
from tasks.training.loop import epoch_batches, learning_rate_factor, total_steps

MODELS = ("first", "second")
FACTS = "reward.json"


class RewardModel:
    """An adapter on the shared trunk with a scalar head; `mean` and `std` normalise what it says."""

    def __init__(self, roles: Roles, role: str, head: nn.Linear, mean: float = 0.0, std: float = 1.0):
        self.roles, self.role, self.head, self.mean, self.std = roles, role, head.to(roles.device), mean, std

    @property
    def device(self) -> torch.device:
        return self.roles.device

    def raw(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B,) unnormalised scores from trunk states (B, T, H), read at the last real token."""
        return self.head(last_state(self.roles.final(self.role, states, mask), mask))[:, 0]

    def of_pairs(self, pairs: PairSet, rows: Sequence[int]) -> Tensor:
        """(B, 2) unnormalised scores of the chosen and the rejected side of these pairs."""
        return self.head(pairs.last_states(self.role, rows))[..., 0]

    @torch.no_grad()
    def score(self, batch: Batch, states: Tensor | None = None) -> Tensor:
        """(B,) normalised scores of prompts with answers."""
        return (self.raw(self.roles.states(batch) if states is None else states, batch.mask) - self.mean) / self.std

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        save_file(
            {"head.weight": self.head.weight.detach(), "head.bias": self.head.bias.detach()} | self.roles.state(self.role),
            folder / "reward.safetensors",
        )
        (folder / FACTS).write_text(json.dumps({"mean": self.mean, "std": self.std}), encoding="utf-8")


class SequenceRewardModel:
    """A reward model of its own, trained elsewhere: a sequence classifier with one label, on the policy's tokenizer."""

    def __init__(self, model: PreTrainedModel, mean: float = 0.0, std: float = 1.0):
        self.body: PreTrainedModel = getattr(model, model.base_model_prefix)
        self.head, self.mean, self.std = cast(nn.Linear, model.score), mean, std

    @classmethod
    def open(cls, folder: Path, tokenizer: PreTrainedTokenizerBase | None = None, device: str = "cpu") -> "SequenceRewardModel":
        """The classifier of a folder, in float32.

        Raises:
            MigakiError: it is no classifier of last states, has another number of labels, or reads other token ids than `tokenizer` writes.
        """
        refuse_unsafe(folder)
        architecture = (json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or ["no architecture"])[0]
        if not architecture.endswith("ForSequenceClassification"):
            raise MigakiError(
                f"the reward model in {folder.name!r} is {architecture}; accepted is a sequence classifier (...ForSequenceClassification)"
            )
        if tokenizer is not None and (vocabulary := load_tokenizer(folder).get_vocab()) != tokenizer.get_vocab():
            raise MigakiError(
                f"the reward model in {folder.name!r} has another tokenizer ({len(vocabulary)} tokens) than the policy ({len(tokenizer)}), "
                "so that one's tokens mean nothing to the other; accepted is a reward model trained from the policy's own family of models"
            )
        whole = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
        model = sped_up(whole).to(device).eval().requires_grad_(False)
        if model.config.num_labels != 1:
            raise MigakiError(f"the reward model in {folder.name!r} has {model.config.num_labels} labels; a reward model has one")
        if not isinstance(getattr(model, "score", None), nn.Linear):
            raise MigakiError(
                f"the reward model in {folder.name!r} is {architecture}, which does not score by a linear head on the last token's state"
            )
        return cls(model)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @torch.no_grad()
    def score(self, batch: Batch, states: Tensor | None = None) -> Tensor:
        """(B,) normalised scores of prompts with answers, read at the last real token by the mask; trunk states are of no use to it."""
        final = self.body(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=position_ids(batch.mask), use_cache=False
        ).last_hidden_state
        return (self.head(last_state(final, batch.mask))[:, 0] - self.mean) / self.std


AnyRewardModel = RewardModel | SequenceRewardModel


def open_reward_model(folder: Path, roles: Roles, role: str, which: str) -> RewardModel:
    """A saved reward model as the adapter `role` of these roles.

    Raises:
        MigakiError: it was trained on another trunk.
    """
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    tensors = load_file(folder / which / "reward.safetensors")
    head = scalar_head(roles.hidden_size, 0)
    if facts["layer"] != roles.layer or tensors["head.weight"].shape != head.weight.shape:
        raise MigakiError(
            f"the reward model in {folder.name[:12]} was trained on another model (hidden size {tensors['head.weight'].shape[1]}, adapters from layer {facts['layer']}; "
            f"this one has {roles.hidden_size} and {roles.layer}): run `migaki align` on the present one"
        )
    roles.add(role, facts["r"], facts["targets"], 0)
    roles.load_state(role, {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")})
    with torch.no_grad():
        head.weight.copy_(tensors["head.weight"])
        head.bias.copy_(tensors["head.bias"])
    scale = json.loads((folder / which / FACTS).read_text(encoding="utf-8"))
    return RewardModel(roles, role, head, scale["mean"], scale["std"])


Score = Callable[[Batch, Tensor], Tensor]  # (B,) of a batch and its trunk states


def score_with_both(
    folder: Path,
    model: PreTrainedModel,
    examples: Sequence[Example],
    on_batch: Callable[[int], object],
    steering: Callable[[RewardModel], Score] = attrgetter("score"),
) -> list[tuple[float, float]]:
    """Normalised scores of the first and the second reward model, in the order of the examples.

    `model` is the tuned model that both were trained on; its trunk runs once over each answer for the two. `steering` makes of the first what scores
    in its place.
    """
    roles = Roles(model, json.loads((folder / FACTS).read_text(encoding="utf-8"))["layer"])
    steers, watches = (open_reward_model(folder, roles, which, which) for which in MODELS)
    scoring = (steering(steers), watches.score)
    scores: list[tuple[float, float]] = [(0.0, 0.0)] * len(examples)
    for rows in by_length(examples, 16):
        batch = collate(examples, rows, 0, str(roles.device))
        states = roles.states(batch)
        for row, first, second in zip(rows, *[score(batch, states).tolist() for score in scoring], strict=True):
            scores[row] = first, second
        on_batch(len(rows))
    return scores


def score_examples(reward: AnyRewardModel, examples: Sequence[Example], batch_size: int = 16) -> list[float]:
    """Normalised scores, in the order of the examples."""
    scores = [0.0] * len(examples)
    for rows in by_length(examples, batch_size):
        for row, score in zip(rows, reward.score(collate(examples, rows, 0, str(reward.device))).tolist(), strict=True):
            scores[row] = score
    return scores


def train_reward_model(
    reward: RewardModel, pairs: PairSet, settings: RewardSettings, on_step: Callable[[int, float, float], object]
) -> None:
    """Fit one reward model to its pairs; `on_step(step, loss, accuracy in the batch)` hears of every step.

    Raises:
        MigakiError: the loss is not finite; names step and rows.
    """
    parameters = [*reward.roles.parameters(reward.role), *reward.head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.reward_learning_rate, eps=1e-5, weight_decay=0.0)
    steps = total_steps(len(pairs), settings.reward_batch_pairs, settings.reward_epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, 0.1, "cosine"))
    batches = epoch_batches(pairs.packed, settings.reward_batch_pairs, settings.reward_epochs, settings.reward_seed)
    for step, rows in enumerate(batches, 1):
        loss, right = _accumulate(reward, pairs, rows, settings)
        if not math.isfinite(loss):
            ids = [pairs.pairs[row].id for row in rows[:4]]
            raise MigakiError(
                f"the reward loss became {loss} at step {step} of {steps} on the pairs {ids}; nothing was kept. Try a lower reward_learning_rate"
            )
        all_reduce_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        on_step(step, loss, right / len(rows))


def _accumulate(reward: RewardModel, pairs: PairSet, rows: list[int], settings: RewardSettings) -> tuple[float, int]:
    """Add the gradient of one step, cut into micro-batches that do not change it. Returns (loss, pairs in the right order)."""
    total_weight = sum(pairs.pairs[row].weight for row in rows)
    loss_sum, right, local = 0.0, 0, shard(rows)
    for start in range(0, len(local), settings.reward_micro_pairs):
        part = local[start : start + settings.reward_micro_pairs]
        judged = [pairs.pairs[row] for row in part]
        chosen, rejected = reward.of_pairs(pairs, part).unbind(-1)
        margin = chosen.new_tensor([pair.margin if settings.reward_margin else 0.0 for pair in judged])
        weight = chosen.new_tensor([pair.weight for pair in judged])
        tie = torch.tensor([pair.tie for pair in judged], device=chosen.device)
        loss = bradley_terry(chosen, rejected, margin, weight, settings.reward_centering, tie) * weight.sum() / total_weight
        loss.backward()
        loss_sum += loss.item()
        right += int((chosen > rejected).sum())
    loss_of_all, right_of_all = all_reduce([loss_sum, right])
    return loss_of_all, int(right_of_all)


@torch.no_grad()
def pair_scores(reward: RewardModel, pairs: PairSet, batch_size: int = 8) -> Tensor:
    """(pairs, 2) unnormalised scores of the chosen and the rejected side."""
    scores = torch.zeros(len(pairs), 2)
    for rows in by_length(pairs.packed, batch_size):
        scores[rows] = reward.of_pairs(pairs, rows).cpu()
    return scores


def calibration(scores: Tensor, bins: int = 5) -> list[tuple[float, float, int]]:
    """How far the model's confidence may be believed: (mean probability given to the preferred side, share of pairs decided so, pairs) by bin.

    `scores` is (pairs, 2), chosen first. The probability is Bradley-Terry's, of whichever side the model prefers, so it runs from 0.5 to 1;
    bins are of equal width, empty ones left out (Guo et al. 2017).
    """
    difference = scores[:, 0] - scores[:, 1]
    sure, right = difference.abs().sigmoid(), difference > 0
    number = ((sure - 0.5) * 2 * bins).long().clamp(max=bins - 1)
    return [
        (float(sure[number == i].mean()), float(right[number == i].float().mean()), int((number == i).sum()))
        for i in range(bins)
        if (number == i).any()
    ]


def accuracy_by_length(scores: Tensor, lengths: Sequence[tuple[int, int]]) -> dict[str, tuple[float, int]]:
    """(accuracy, pairs) where the chosen answer is shorter than the rejected one by over a fifth, about as long, or longer.

    `scores` is (pairs, 2) and `lengths` tokens of both sides, chosen first. A reward model that counts length is right in one bucket and wrong in the other.
    """
    buckets: dict[str, list[bool]] = {"shorter": [], "alike": [], "longer": []}
    for (chosen, rejected), right in zip(lengths, (scores[:, 0] > scores[:, 1]).tolist(), strict=True):
        buckets["shorter" if chosen < 0.8 * rejected else "longer" if rejected < 0.8 * chosen else "alike"].append(right)
    return {name: (sum(rights) / len(rights), len(rights)) for name, rights in buckets.items() if rights}


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rho, ties given their mean rank; 0 where one side does not vary."""
    ranks = torch.stack([_ranks(torch.tensor(values, dtype=torch.float64)) for values in (a, b)])
    centred = ranks - ranks.mean(-1, keepdim=True)
    norm = float((centred[0].square().sum() * centred[1].square().sum()).sqrt())
    return float((centred[0] * centred[1]).sum()) / norm if norm else 0.0


def _ranks(values: Tensor) -> Tensor:
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2)[inverse].double()


def normalise(reward: AnyRewardModel, examples: Sequence[Example]) -> None:
    """Set mean and standard deviation so that scores of these answers have mean 0 and standard deviation 1."""
    reward.mean, reward.std = 0.0, 1.0
    scores = torch.tensor(score_examples(reward, examples))
    reward.mean, reward.std = float(scores.mean()), max(1e-3, float(scores.std()))
