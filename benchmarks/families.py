"""How far 22 model families come through tune, align, quantize and chat, and whether every figure is that of transformers' own forward.

    python benchmarks/families.py [--only NAME]

A tiny random model of each family, with a tokenizer trained on a few texts and the chat template of its kind, goes through the real stages
in a home of its own (`tests/helpers/families.py`). Held against transformers, without Migaki's code on that side: what `tune` says of the
held-out rows before and after, on the base model and on the merged one; what `quantize` says of fp32, on the model it was given and on the files
that it wrote; and the greedy tokens of batched sampling and of chat, up to the first tie (two largest logits less than 0.001 apart), for the
base model and the release, there against `generate` too. The release (int8, or what is picked in its place) is opened as chat opens it and answers
in two languages. LLM.int8() rounds by what else is in a batch, so that its loss, row by row and as the stage said it, is shown and not judged.

Columns: distances in nats a token; the held-out loss before and after tune (English), what align adds to it, the precision that is picked and why
not int8, tokens of both answers, how far the picked model's loss is from what the stage said, refusals by the stage that refused.

Exits with 1 where fewer than 19 families come through whole, one stops without a reason given, or a figure is more than 1e-4 nats a token off.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from tests.helpers.families import FAMILIES, STAGES, Walk, walked

NEEDED = 19  # families that must come through whole
COLUMNS = ("family", "loss apart", "re-scored apart", "greedy tokens equal", *STAGES, "picked alone", "refused or failed", "s")
COMPARED_LOSS = ("tune before",)


def line(walk: Walk) -> str:
    """A row of the table."""
    losses = [f"{walk.distances[name]:.0e}" for name in COMPARED_LOSS if name in walk.distances]
    later = [distance for name, distance in walk.distances.items() if name not in COMPARED_LOSS]
    same, compared = (sum(counts[side] for counts in walk.greedy.values()) for side in (0, 1))
    cells = [
        walk.family,
        *(losses or [""]),
        f"{max(later):.0e}" if later else "",
        f"{same} of {compared}" + (", one by one" if any("one by one" in way for way in walk.greedy) else ""),
        *(walk.stages.get(stage, "") for stage in STAGES),
        "" if walk.rounded is None else f"{walk.rounded:.0e}",
        "; ".join([*walk.refused, *(f"FAULT in {fault}" for fault in walk.faults)]),
        f"{walk.seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=FAMILIES, help="one family alone")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    names = [only] if only else list(FAMILIES)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    walks: list[Walk] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            walks.append(walked(name, Path(folder)))
        print(line(walks[-1]), flush=True)
    whole, wrong = sum(walk.whole for walk in walks), [walk.family for walk in walks if not walk.right]
    print(f"\n{whole} of {len(walks)} families whole, {sum(walk.seconds for walk in walks):.0f} s; wrong: {', '.join(wrong) or 'none'}")
    sys.exit(bool(wrong) or whole < min(NEEDED, len(walks)))


if __name__ == "__main__":
    main()
