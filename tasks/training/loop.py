"""The training loop: next-token loss on answer tokens, averaged over the tokens of the whole optimizer step.

One loop serves every tuning method, on a cached trunk or on all layers, and continued pre-training (whose answers begin at the second
token); they differ in which parameters move and in where the final states come from (`tasks.training.methods`). It is ours and not a Trainer because of the cached
trunk: the layers below the lowest adapter never change, so they run once per text and not once per epoch. Left out: mixed precision
(slower than float32 on the CPUs this is for) and checkpoints inside a stage (a stage is minutes long and starts anew).
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from tasks.errors import MigakiError
from tasks.models.batching import Example, Tokens, collate
from tasks.models.data_parallel import all_reduce, all_reduce_gradients, shard
from tasks.models.likelihood import FinalStates, answer_nll
from tasks.models.trunk import lm_head
from tasks.training.methods import Trainable
from tasks.training.settings import TrainingSettings

POOL = 8  # steps whose rows are sorted by length together


def make_optimizer(parameters: Sequence[nn.Parameter], settings: TrainingSettings) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019); matrices decay, biases and norms do not, nor do the scales of ia3, which begin at one."""
    decay = 0.0 if settings.method == "ia3" else settings.weight_decay
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=settings.peak_learning_rate)


def learning_rate_factor(step: int, total: int, warmup_share: float, schedule: str) -> float:
    """Share of the peak learning rate at `step` (from 0) of `total`: rises in the warm-up, reaches 1 right after it, and falls towards 0."""
    warmup = round(total * warmup_share)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - warmup)
    return {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}[schedule]


def total_steps(rows: int, batch_size: int, epochs: float) -> int:
    return max(1, math.ceil(math.ceil(rows / batch_size) * epochs))


def epoch_batches(examples: Sequence[Tokens], batch_size: int, epochs: float, seed: int) -> Iterator[list[int]]:
    """Rows of each optimizer step. Rows are shuffled, put with others of like length inside pools of some steps, and the steps shuffled."""
    left, generator = total_steps(len(examples), batch_size, epochs), random.Random(seed)
    while left > 0:
        order = list(range(len(examples)))
        generator.shuffle(order)
        batches = []
        for start in range(0, len(order), POOL * batch_size):
            pool = sorted(order[start : start + POOL * batch_size], key=lambda row: len(examples[row].ids))
            batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        generator.shuffle(batches)
        yield from batches[:left]
        left -= len(batches)


def accumulate(trainable: Trainable, final_states: FinalStates, examples: Sequence[Example], rows: list[int], micro_batch: int) -> float:
    """Add the gradient of one step: of the mean over the answer tokens of all its rows, however they are cut into micro-batches.

    Returns:
        That mean loss, nats per token.
    """
    head, device = lm_head(trainable.model), str(next(trainable.model.parameters()).device)
    tokens = sum(examples[row].answer_tokens for row in rows)
    total, local = 0.0, shard(rows)
    for start in range(0, len(local), micro_batch):
        batch = collate(examples, local[start : start + micro_batch], pad_id=0, device=device)
        loss = answer_nll(final_states, head, batch).sum() / tokens
        loss.backward()
        total += loss.item()
    return all_reduce([total])[0]


def apply_gradient(trainable: Trainable, optimizer: Optimizer, max_grad_norm: float) -> float:
    """Add up over all processes, clip, step, and clear. Returns the norm before clipping; when it is not finite nothing is changed."""
    all_reduce_gradients(trainable.parameters)
    norm = float(nn.utils.clip_grad_norm_(trainable.parameters, max_grad_norm))
    if math.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def train(trainable: Trainable, examples: Sequence[Example], settings: TrainingSettings, on_step: Callable[[int, float], object]) -> None:
    """Train in place for `settings.epochs`; `on_step(step, loss)` hears of every optimizer step (from 1) and its loss in nats per token.

    Raises:
        MigakiError: loss or gradient is not finite; names the step.
    """
    optimizer = make_optimizer(trainable.parameters, settings)
    steps = total_steps(len(examples), settings.batch_size, settings.epochs)
    scheduler = LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, settings.warmup_share, settings.schedule))
    final_states = trainable.final_states(examples, settings.cache_mb)
    trainable.train_mode()
    for step, rows in enumerate(epoch_batches(examples, settings.batch_size, settings.epochs, settings.seed), 1):
        loss = accumulate(trainable, final_states, examples, rows, settings.micro_batch)
        norm = apply_gradient(trainable, optimizer, settings.max_grad_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise MigakiError(
                f"training stopped at step {step} of {steps}: the loss is {loss} and the norm of its gradient {norm}; nothing was kept. "
                f"Try a learning_rate below {settings.peak_learning_rate} or a max_grad_norm below {settings.max_grad_norm}"
            )
        scheduler.step()
        on_step(step, loss)
    trainable.model.eval()
