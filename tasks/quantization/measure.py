"""What each variant keeps of the model's quality, on the same tokens for all, and what it weighs."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.kinds import Variant
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.likelihood import Score, mean_per_character, score_examples
from tasks.models.loader import load_model
from tasks.models.quantized import ORDER, TEXTBOOK_SAVING, disk_bytes, quantized

BLOCK = 64  # weights that NF4 scales together, and the width in which its kernels on a CPU go


def fixed_tokens(examples: Sequence[Example], total: int, tokenizer: PreTrainedTokenizerBase) -> list[Example]:
    """Examples of `total` tokens together: languages take turns, and the last answer is cut. Fewer tokens only when there are no more."""
    queues = {lang: [example for example in examples if example.lang == lang] for lang in sorted({example.lang for example in examples})}
    turns = [queue[turn] for turn in range(max(map(len, queues.values()), default=0)) for queue in queues.values() if turn < len(queue)]
    chosen, left = [], total
    for example in turns:
        if len(example.ids) > left:
            if example.answer_start < left:
                kept = example.ids[:left]
                spans = (*example.earlier, (example.answer_start, left))
                characters = sum(len(tokenizer.decode(kept[start:stop])) for start, stop in spans)
                chosen.append(replace(example, ids=kept, characters=characters))
                break
            continue  # its prompt alone is too long for what is left
        chosen.append(example)
        left -= len(example.ids)
        if not left:
            break
    return chosen


def measure(
    variant: str,
    folder: Path,
    examples: Sequence[Example],
    baseline: Variant | None,
    device: str,
    on_batch: Callable[[int], object],
    check: Callable[[PreTrainedModel], object] | None = None,
) -> Variant:
    """Open a variant as it will be served, in float32 where it is not quantized, and score `examples`.

    Args:
        baseline: what was measured of fp32; None for fp32 itself.
        check: raises for a model whose scores would not be its own.

    Raises:
        MigakiError: it does not run, or its loss is not a finite number; or what `check` raises.
    """
    model = load_model(folder, "float16" if variant == "fp16" else "float32", device)
    memory = model.get_memory_footprint(return_buffers=False)
    if variant == "fp16":
        model = model.float()
    try_out(variant, model)
    if check is not None:
        check(model)
    started = time.perf_counter()
    scores = score_examples(model, examples, on_batch=on_batch)
    seconds = time.perf_counter() - started
    perplexity = perplexity_of(scores)
    return Variant(
        variant,
        perplexity,
        extra_loss=perplexity / baseline.perplexity - 1 if baseline else 0.0,
        loss_per_character={
            lang: mean_per_character([s for s, e in zip(scores, examples, strict=True) if e.lang == lang])
            for lang in sorted({e.lang for e in examples})
        },
        disk_bytes=disk_bytes(folder),
        memory_bytes=memory,
        disk_saving=1 - disk_bytes(folder) / baseline.disk_bytes if baseline else 0.0,
        memory_saving=1 - memory / baseline.memory_bytes if baseline else 0.0,
        textbook_saving=TEXTBOOK_SAVING[variant],
        tokens_per_second=sum(len(example.ids) for example in examples) / seconds,
    )


@torch.no_grad()
def try_out(variant: str, model: PreTrainedModel) -> None:
    """A single token, as answers are decoded: bitsandbytes has other kernels for it than for many, and some want widths of whole blocks.

    Raises:
        MigakiError: it does not run.
    """
    try:
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device))
    except (AssertionError, RuntimeError, ValueError) as error:
        odd = next(
            (f" ({name}: {layer.in_features} to {layer.out_features})" for name, layer in quantized(model) if not in_blocks(layer)), ""
        )
        raise MigakiError(
            f"this model's layers do not run as {variant} on {model.device}: {error or type(error).__name__}"
            + (f"; widths that are no multiples of {BLOCK} may be why{odd}" if odd else "")
        ) from error


def in_blocks(layer: nn.Linear) -> bool:
    return layer.in_features % BLOCK == layer.out_features % BLOCK == 0


def perplexity_of(scores: Sequence[Score]) -> float:
    """exp of the mean loss per token.

    Raises:
        MigakiError: a loss is infinite or no number.
    """
    mean = sum(score.nll for score in scores) / sum(score.tokens for score in scores)
    if not math.isfinite(mean):
        raise MigakiError(f"the loss on held-out instructions is {mean}: the weights are damaged, or too large for this precision")
    return math.exp(mean)


def choose(wanted: str, measurements: dict[str, Variant], problems: dict[str, str], max_loss: float) -> tuple[str, list[str]]:
    """The variant to serve: the wanted one ("auto": the smallest), or the next larger one that loses at most `max_loss`; fp32 always may.

    Args:
        problems: variants that could not be made, with the reason.

    Returns:
        Its name, and why each smaller candidate was passed over.
    """
    passed_over = []
    for variant in ORDER[0 if wanted == "auto" else ORDER.index(wanted) : -1]:
        if variant in problems:
            passed_over.append(f"{variant}: {problems[variant]}")
        elif measurements[variant].extra_loss > max_loss:
            passed_over.append(f"{variant}: perplexity {measurements[variant].extra_loss:+.1%}, allowed {max_loss:+.1%}")
        else:
            return variant, passed_over
    return "fp32", passed_over
