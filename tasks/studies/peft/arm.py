"""One tuning method, in a process of its own: only so is the most memory that it takes its own, and not what the one before it left behind."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import PreTrainedTokenizerBase

from tasks.data.records import Instruction, load_instructions
from tasks.data.select import balanced
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.likelihood import score_examples
from tasks.models.memory import MIB
from tasks.models.opening import ChatChoice, open_model
from tasks.models.quantized import weight_bytes
from tasks.processes import give_back_memory, leave_with
from tasks.training.examples import Limit, encode_instructions
from tasks.training.loop import epoch_batches, total_steps, train
from tasks.training.methods import make_trainable
from tasks.training.settings import TuneSettings

JOB, RESULT, MISTAKE = "job.json", "result.json", "mistake.txt"
SHARE = "share, %"  # of the parameters that learn
EVERY = 0.02  # seconds between two looks at the memory


@dataclass(frozen=True)
class Job:
    """What an arm is given: folders of the base model and of the dataset, how to tune, the length of rows, and the day that templates are told."""

    base: str
    dataset: str
    settings: dict[str, Any]
    tokens: int
    items: int
    device: str
    today: str
    waits: int


def read_rows(dataset: Path, split: str, most: int) -> list[Instruction]:
    return balanced(load_instructions(dataset, split), most)[0]


def encode_each(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Instruction], tokens: int) -> dict[str, list[Example]]:
    """Examples by row, without the rows that keep no answer within `tokens`."""
    found = {row.id: encode_instructions(tokenizer, [row], Limit(tokens), strict=False).examples for row in rows}
    return {row: examples for row, examples in found.items() if examples}


def tune_and_score(job: Job, on_step: Callable[[int, int, float], object]) -> dict[str, Any]:
    """Train the method, and score every held-out row.

    Args:
        on_step: hears of each optimizer step: which, of how many, and its loss in nats per token.

    Returns:
        `rows`: by id, nll (nats), characters and tokens of its answers; `facts`: figures of the method.
    """
    settings = TuneSettings(**job.settings)
    trunk = "nf4" if settings.method == "qlora" else "float32"
    model, tokenizer = open_model(Path(job.base), None, _no_adapter, job.device, trunk, ChatChoice(settings.template), job.today)
    learnt = encode_each(tokenizer, read_rows(Path(job.dataset), "train", settings.max_rows), job.tokens)
    held_out = encode_each(tokenizer, read_rows(Path(job.dataset), "eval", job.items), job.tokens)
    examples, scored = ([example for own in rows.values() for example in own] for rows in (learnt, held_out))
    weights, before = weight_bytes(model), memory_in_use(job.device)
    steps = total_steps(len(examples), settings.batch_size, settings.epochs)
    with most_memory(job.device) as peak:
        trainable = make_trainable(model, settings)
        began = time.perf_counter()
        train(trainable, examples, settings, lambda step, loss: on_step(step, steps, loss))
        seconds = time.perf_counter() - began
    scores = iter(score_examples(trainable.model, scored, final_states=trainable.final_states(scored, settings.cache_mb)))
    order = epoch_batches(examples, settings.batch_size, settings.epochs, settings.seed)
    seen = sum(len(examples[row].ids) for rows in order for row in rows)
    return {
        "rows": {row: _sums([next(scores) for _ in own]) for row, own in held_out.items()},
        "facts": {
            "trained parameters": trainable.trained,
            "parameters": trainable.total,
            SHARE: 100 * trainable.trained / trainable.total,
            "weights, MiB": weights / MIB,
            "peak, MiB": peak[0] / MIB,
            "peak above the model, MiB": (peak[0] - before) / MIB,
            "tokens/s": seen / seconds,
        },
    }


def _no_adapter(artifact: str) -> Any:
    raise KeyError(artifact)  # the base model has none


def _sums(scores: Sequence[Any]) -> dict[str, float]:
    return {name: float(sum(asdict(score)[name] for score in scores)) for name in ("nll", "characters", "tokens")}


def memory_in_use(device: str) -> int:
    """Bytes of this process, or on a GPU of its tensors."""
    give_back_memory()
    return torch.cuda.memory_allocated(device) if device != "cpu" else int(psutil.Process().memory_info().rss)


@contextmanager
def most_memory(device: str) -> Iterator[list[int]]:
    """At the end the list's only number is the most that was in use inside, in bytes."""
    found = [memory_in_use(device)]
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found[0] = torch.cuda.max_memory_allocated(device)
        return
    done, process = threading.Event(), psutil.Process()

    def look() -> None:
        while not done.wait(EVERY):
            found[0] = max(found[0], process.memory_info().rss)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def main(folder: Path) -> None:
    """Do the job in a folder, say each step in a line of JSON, and leave the result, or in words what was wrong."""
    job = Job(**json.loads((folder / JOB).read_text(encoding="utf-8")))
    threading.Thread(target=leave_with, args=(job.waits,), daemon=True).start()
    try:
        found = tune_and_score(job, lambda *said: print(json.dumps(said), flush=True))
    except MigakiError as error:
        (folder / MISTAKE).write_text(str(error), encoding="utf-8")
        sys.exit(1)
    (folder / RESULT).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
