"""A learning rate for each tuning method: a sweep on the bundled model.

    python benchmarks/learning_rates.py [METHOD...] [--home DIR] [--rows 32] [--scored 16] [--epochs 2] [--rates 1e-4,1e-3]

Trains each method at each rate on a part of the training rows of the home's newest dataset and scores training rows that were left out (every fifth):
the held-out rows that `tune` and `peft-study` report have no part in the choice. Prints nats per character of both languages, and the best rate of
each method; `tasks/training/settings.py` has what is used (LEARNING_RATES).
"""

import argparse
import time
from pathlib import Path

from flows.running.parameters import BUNDLED_MODEL
from storage.artifacts import ArtifactStore, reference
from storage.home import Home
from tasks.data.records import load_instructions
from tasks.data.select import balanced
from tasks.models.likelihood import mean_per_character, score_examples
from tasks.models.opening import open_model
from tasks.models.reference import resolve
from tasks.training.examples import Limit, encode_instructions
from tasks.training.loop import train
from tasks.training.methods import make_trainable
from tasks.training.settings import TuneSettings

RATES = {
    "lora": (5e-4, 1e-3, 2e-3, 4e-3),
    "full": (3e-5, 1e-4, 3e-4),
    "qlora": (1e-3, 2e-3, 4e-3),
    "adapter": (1e-3, 3e-3, 1e-2),
    "prompt": (3e-3, 1e-2, 3e-2, 1e-1),
    "prefix": (3e-3, 1e-2, 3e-2, 1e-1),
    "ia3": (3e-3, 1e-2, 3e-2, 1e-1),
}
TOKENS = 96  # of a row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", help=f"of {', '.join(RATES)} (default: all)")
    parser.add_argument("--home", default=".migaki", help="a home with a dataset (`migaki prepare`)")
    parser.add_argument("--rows", type=int, default=32, help="training rows, languages in balance")
    parser.add_argument("--scored", type=int, default=16, help="rows that are left out, languages in balance")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--rates", help="other rates, separated by commas")
    said = parser.parse_args()
    home = Home(Path(said.home).absolute())
    newest = [manifest for manifest in ArtifactStore(home).manifests() if manifest["stage"] == "prepare"][-1]
    rows = sorted(load_instructions(ArtifactStore(home).path(reference(newest)), "train"), key=lambda row: row.id)
    left_out, _ = balanced(rows[::5], said.scored)
    learnt, _ = balanced([row for place, row in enumerate(rows) if place % 5], said.rows)
    print(f"{len(learnt)} rows learnt, {len(left_out)} rows scored, {said.epochs} epochs")
    base = resolve(BUNDLED_MODEL, home).path
    for method in said.methods or RATES:
        found = {}
        for rate in map(float, said.rates.split(",")) if said.rates else RATES[method]:
            began = time.perf_counter()
            found[rate] = loss_after(
                base, TuneSettings(method=method, learning_rate=rate, epochs=said.epochs, micro_batch=8), learnt, left_out
            )
            print(f"{method:8} {rate:8.0e} {found[rate]:.4f} nats per character, {time.perf_counter() - began:.0f} s", flush=True)
        print(f"{method:8} best: {min(found, key=found.__getitem__):.0e}", flush=True)


def loss_after(base, settings: TuneSettings, learnt, left_out) -> float:
    """Nats per character of the rows that were left out, after training on the others."""
    model, tokenizer = open_model(base, None, lambda _: ..., trunk="nf4" if settings.method == "qlora" else "float32")
    examples, scored = (encode_instructions(tokenizer, rows, Limit(TOKENS)).examples for rows in (learnt, left_out))
    trainable = make_trainable(model, settings)
    train(trainable, examples, settings, lambda step, loss: None)
    return mean_per_character(score_examples(trainable.model, scored, final_states=trainable.final_states(scored, settings.cache_mb)))


if __name__ == "__main__":
    main()
