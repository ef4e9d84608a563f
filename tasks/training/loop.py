"""The training loop: next-token loss on answer tokens, averaged over the tokens of the whole optimizer step.

One loop serves LoRA on a cached trunk, LoRA on all layers and full fine-tuning; they differ in which parameters move and in how final
states are computed. The loss of a step is the mean over its answer tokens, however the step is cut into micro-batches.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from peft import get_peft_model
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.models.likelihood import CachedTrunk, FinalStates, answer_nll, whole_model
from tasks.models.lora import lora_config
from tasks.models.trunk import lm_head, split_layer
from tasks.training.settings import TrainingSettings

ADAPTER = "default"


@dataclass
class Trainable:
    """A model made ready for training: the parameters that move, and the way from a batch to final states."""

    model: nn.Module
    final_states: FinalStates
    parameters: list[nn.Parameter]
    layer: int  # first layer that is trained


def make_trainable(model: nn.Module, examples: Sequence[Example], settings: TrainingSettings) -> Trainable:
    """Adapters on the top layers over a cached trunk, or all weights."""
    torch.manual_seed(settings.seed)
    if settings.method == "full":
        model.requires_grad_(True)
        return Trainable(model, whole_model(model), list(model.parameters()), 0)
    layer = split_layer(model, settings.top_fraction)
    config = lora_config(model, settings.lora_r, settings.lora_alpha, settings.lora_dropout, layer, settings.lora_targets)
    adapted = get_peft_model(model, config)
    trunk = CachedTrunk(adapted, layer, examples, settings.cache_mb << 20)
    return Trainable(adapted, trunk, [p for p in adapted.parameters() if p.requires_grad], layer)


def learning_rate_factor(step: int, total: int, warmup_share: float, schedule: str) -> float:
    """Share of the peak learning rate at `step` (from 0) of `total`."""
    warmup = round(total * warmup_share)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - warmup)
    return {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}[schedule]


def epoch_batches(examples: Sequence[Example], batch_size: int, epochs: float, seed: int) -> Iterator[list[int]]:
    """Rows of each optimizer step. Rows are shuffled, grouped with others of like length inside pools of eight steps, and the groups shuffled."""
    steps = total_steps(len(examples), batch_size, epochs)
    generator, given = random.Random(seed), 0
    while given < steps:
        order = list(range(len(examples)))
        generator.shuffle(order)
        pool = 8 * batch_size
        groups = []
        for start in range(0, len(order), pool):
            rows = sorted(order[start : start + pool], key=lambda row: len(examples[row].ids))
            groups += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        generator.shuffle(groups)
        yield from groups[: steps - given]
        given += len(groups)


def total_steps(rows: int, batch_size: int, epochs: float) -> int:
    return max(1, math.ceil(math.ceil(rows / batch_size) * epochs))


def accumulate(trainable: Trainable, examples: Sequence[Example], rows: list[int], micro_batch: int) -> float:
    """Add the gradient of one step, the mean over the answer tokens of all its rows. Returns that mean loss in nats."""
    head, device = lm_head(trainable.model), str(next(trainable.model.parameters()).device)
    tokens = sum(len(examples[row].ids) - max(1, examples[row].answer_start) for row in rows)
    total = 0.0
    for start in range(0, len(rows), micro_batch):
        batch = collate(examples, rows[start : start + micro_batch], pad_id=0, device=device)
        loss = answer_nll(trainable.final_states, head, batch).sum() / tokens
        loss.backward()
        total += float(loss)
    return total


def train(trainable: Trainable, examples: Sequence[Example], settings: TrainingSettings, epochs: float, on_step: Callable[[int, float, int], object]) -> float:
    """Train in place; `on_step(step, loss, rows)` hears of every optimizer step. Returns the mean loss of the last tenth of the steps.

    Raises:
        MigakiError: the loss is not finite; names the step.
    """
    optimizer = torch.optim.AdamW(trainable.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = total_steps(len(examples), settings.batch_size, epochs)
    scheduler = LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, settings.warmup_share, settings.schedule))
    trainable.model.train()
    losses = []
    for step, rows in enumerate(epoch_batches(examples, settings.batch_size, epochs, settings.seed), 1):
        loss = accumulate(trainable, examples, rows, settings.micro_batch)
        if not math.isfinite(loss):
            raise MigakiError(f"the training loss became {loss} at step {step} of {steps} (rows {rows[:4]}...); nothing was kept. Try a lower learning_rate than {settings.learning_rate}")
        nn.utils.clip_grad_norm_(trainable.parameters, settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        scheduler.step()
        losses.append(loss)
        on_step(step, loss, len(rows))
    trainable.model.eval()
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)
