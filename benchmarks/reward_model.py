"""Migaki's reward-model training beside TRL's RewardTrainer, in alternation on one machine: pairs per second, peak memory, held-out accuracy.

    python benchmarks/reward_model.py run --peer ../shared/peers/trl_reward.py --pairs ../shared/data/preference/hh_harmless.jsonl --rows 16

The peer runs in this environment. Both sides take the same weights, pairs (the first --rows to train, the last --held-out to measure), pairs a
step (8), epochs, longest side (512 tokens) and loss. `--placement same` puts adapters on q and v of all layers, as the peer does; `default` on
all linear layers of the top third.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from common import alternate, bundled_model, compare

if TYPE_CHECKING:
    from tasks.data.records import Preference

BATCH, MAX_TOKENS = 8, 512


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = options.add_subparsers(dest="command", required=True)
    for name in ("run", "migaki"):
        side = commands.add_parser(name)
        side.add_argument("--model", type=Path, help="folder of a causal language model (default: the bundled one)")
        side.add_argument("--pairs", type=Path, required=True, help='one {"prompt", "chosen", "rejected"} or HH dialogue per line')
        side.add_argument("--rows", type=int, default=32)
        side.add_argument("--held-out", type=int, default=32)
        side.add_argument("--epochs", type=int, default=2)
        if name == "migaki":
            side.add_argument("--placement", choices=("same", "default"), default="default")
        else:
            side.add_argument("--peer", type=Path, required=True)
            side.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    {"run": run, "migaki": migaki}[chosen.command](chosen)


def run(chosen: argparse.Namespace) -> None:
    """Both sides in turn, each in a process of its own; medians, and the ratios."""
    shared = ["--model", chosen.model or bundled_model(), "--pairs", well_formed(chosen.pairs), "--rows", chosen.rows]
    shared += ["--held-out", chosen.held_out, "--epochs", chosen.epochs]
    own = [sys.executable, __file__, "migaki", *shared, "--placement"]
    sides = {"peer": [sys.executable, chosen.peer, *shared], **{placement: [*own, placement] for placement in ("same", "default")}}
    found = alternate(sides, chosen.runs, ("pairs_per_s", "seconds", "peak_rss_mib", "held_out_accuracy"))
    for placement in ("same", "default"):
        both = {"peer": found["peer"], "migaki": found[placement]}
        print(f"placement {placement}, {chosen.rows} pairs, {chosen.runs} runs: {compare(both, 'pairs_per_s')}")


def migaki(chosen: argparse.Namespace) -> None:
    """One run of Migaki's side: one line of JSON in the peer's form."""
    from tasks.models.loader import load_model, load_tokenizer
    from tasks.models.trunk import split_layer
    from tasks.rlhf.pairs import PairSet
    from tasks.rlhf.reward import RewardModel, pair_scores, train_reward_model
    from tasks.rlhf.roles import Roles, scalar_head
    from tasks.rlhf.settings import RewardSettings
    from tasks.statistics import wilson_interval

    model, tokenizer = load_model(chosen.model), load_tokenizer(chosen.model)
    same = chosen.placement == "same"
    roles = Roles(model, 0 if same else split_layer(model, 1 / 3))
    roles.add("reward", 8, "q_proj,v_proj" if same else "all-linear", 0)
    reward = RewardModel(roles, "reward", scalar_head(roles.hidden_size, 0))
    settings = RewardSettings(reward_batch_pairs=BATCH, reward_epochs=chosen.epochs, reward_centering=0.0)
    rows = read_pairs(chosen.pairs)
    train, held_out = (PairSet(roles, tokenizer, part, MAX_TOKENS) for part in (rows[: chosen.rows], rows[-chosen.held_out :]))
    start = time.perf_counter()
    train_reward_model(reward, train, settings, lambda *_: None)
    seconds = time.perf_counter() - start
    scores = pair_scores(reward, held_out)
    right = int((scores[:, 0] > scores[:, 1]).sum())
    result = {"pairs_per_s": round(len(train) * chosen.epochs / seconds, 3), "seconds": round(seconds, 1)}
    result["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result |= {"held_out_accuracy": round(right / len(held_out), 4), "interval": wilson_interval(right, len(held_out))}
    print(json.dumps({"side": "migaki", **result}))


def preference(row: dict[str, str], name: str) -> "Preference":
    from tasks.data.normalise import fields_of, hh, pairs
    from tasks.data.records import Preference

    return Preference(name, *(pairs if "prompt" in row else hh)(fields_of(row))[:3], "en", name)


def read_pairs(path: Path) -> "list[Preference]":
    return [preference(json.loads(line), str(i)) for i, line in enumerate(path.open(encoding="utf-8"))]


def well_formed(path: Path) -> Path:
    """A file of those pairs that Migaki takes: in some of HH's, the dialogues differ before the last answer. Both sides are given the same rows."""
    from tasks.data.rows import Malformed

    kept = []
    for line in path.open(encoding="utf-8"):
        try:
            preference(json.loads(line), "")
        except Malformed:
            continue
        kept.append(line)
    found = Path(tempfile.mkdtemp()) / path.name
    found.write_text("".join(kept), encoding="utf-8")
    return found


if __name__ == "__main__":
    main()
