"""What PPO makes of one and the same learned reward model: Migaki beside TRL 1.12, reward against KL and against seconds, three seeds.

    python benchmarks/rlhf_quality.py REWARD FOLDER --peer ../shared/peers/trl_ppo.py --env PEER_ENV

REWARD is a saved sequence classifier of one label (`trl_reward.py --save`), FOLDER keeps each run's curve, so that an interrupted comparison goes
on where it was. Every side runs ten rounds of four epochs at one learning rate; answers of at most 48 tokens, which may end before.
`same` takes TRL's 16 episodes a round, so the same episodes in all; `wide` takes 48, and still ends long before TRL; `joint` is `wide` with one
adapter for policy and critic (first seed). The score is the reward model's, less 1 for an answer that did not end: the only one that TRL logs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from common import bundled_model
from rlhf import BATCH, example_prompts

ROUNDS, WIDE, LEARNING_RATE, LAST = 10, 48, 1e-3, 3

Update = list[float]  # seconds, KL (k1 summed over an answer, nats), score; Migaki's also the score without the penalty


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("reward", type=Path)
    options.add_argument("folder", type=Path)
    options.add_argument("--peer", type=Path, required=True)
    options.add_argument("--env", type=Path, required=True, help="made by `rlhf.py setup`")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    curves = {
        seed: {name: curve(chosen.folder / f"{name}_{seed}.json", command) for name, command in sides(chosen, seed)}
        for seed in chosen.seeds
    }
    for seed, found in curves.items():
        for line in lines(seed, found):
            print(line)


def sides(chosen: argparse.Namespace, seed: int) -> list[tuple[str, list[object]]]:
    """Name and command of each run of a seed."""
    shared = ["--model", bundled_model(), "--prompts", prompts(chosen.folder), "--reward", chosen.reward, "--stop", "eos"]
    shared += ["--lr", LEARNING_RATE, "--seed", seed]
    own = [sys.executable, Path(__file__).with_name("rlhf.py"), "migaki", *shared]
    wide = [*own, "--episodes", ROUNDS * WIDE, "--batch", WIDE]
    found = [
        ("peer", [chosen.env / "bin" / "python", chosen.peer, *shared, "--episodes", ROUNDS * BATCH]),
        ("same", [*own, "--episodes", ROUNDS * BATCH]),
        ("wide", wide),
    ]
    return found + ([("joint", [*wide, "--design", "joint"])] if seed == chosen.seeds[0] else [])


def prompts(folder: Path) -> Path:
    path = folder / "prompts.jsonl"
    if not path.exists():
        path.write_text(example_prompts().read_text(encoding="utf-8"), encoding="utf-8")
    return path


def curve(path: Path, command: list[object]) -> list[Update]:
    """The rounds of a run, made now unless they are kept."""
    if not path.exists():
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        if done.returncode:
            sys.exit(f"{path.stem} failed:\n{done.stderr[-3000:]}")
        path.write_text(done.stdout.strip().splitlines()[-1], encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))["updates"][:ROUNDS]


def lines(seed: int, found: dict[str, list[Update]]) -> list[str]:
    """Each run's last rounds, and where Migaki's has its last round at no more KL than TRL ends with."""
    said = []
    reached = max(update[1] for update in found["peer"][-LAST:])
    for name, updates in found.items():
        kl, score = (statistics.mean(update[i] for update in updates[-LAST:]) for i in (1, 2))
        error = statistics.stdev(update[2] for update in updates[-LAST:]) / LAST**0.5
        text = f"seed {seed} {name:5}: {updates[-1][0]:4.0f} s; last {LAST} rounds: score {score:+.3f} +- {error:.3f}, KL {kl:.2f}"
        if name != "peer":
            at = [update for update in updates if update[1] <= reached][-1]
            text += f"; at KL {at[1]:.2f} (TRL {reached:.2f}), after {at[0]:.0f} s: score {at[2]:+.3f}"
        said.append(text)
    return said


if __name__ == "__main__":
    main()
