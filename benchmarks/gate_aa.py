"""How often the gate promotes a release that is its own champion (A/A), and how often one that is better by so much.

    python benchmarks/gate_aa.py [--gates 200]

Planted chatbots: a question is answered right with a probability of its own, drawn around that of its document, and told of as unanswerable with
another; the release draws a share of its answers anew, the others are the champion's. Each gate draws documents, questions and answers. In the last rows
a share of the release's answers is right for sure.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np

from tasks.asking.utility import compare
from tests.helpers.chat_rows import Row
from tests.helpers.planted_chats import gate_rows


def promoted(gates: int, seed: int, rows: Callable[[np.random.Generator], list[Row]]) -> tuple[float, float]:
    """(share of gates whose interval lies above 0, mean of the smallest difference that can be shown)."""
    rng = np.random.default_rng(seed)
    found = [compare(rows(rng), "release", "champion", 1.0) for _ in range(gates)]
    return float(np.mean([one.low > 0 for one in found])), float(np.mean([one.smallest for one in found]))


def cases() -> Iterator[tuple[int, float | None, float, float]]:
    """(documents, share of them that is English, share of answers drawn anew, share that is right for sure)."""
    for documents in (10, 20, 30, 100):
        for english in (None, 0.75):
            for anew in (0.1, 0.5, 1.0):
                yield documents, english, anew, 0.0
    for better in (0.2, 0.5):
        yield 30, None, 0.3, better


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=200)
    gates = parser.parse_args().gates
    print(
        "| documents | English | answers drawn anew | better | promoted | smallest difference that can be shown |\n| --- | --- | --- | --- | --- | --- |"
    )
    for documents, english, anew, better in cases():
        share, smallest = promoted(gates, 0, lambda rng: gate_rows(rng, documents, english, anew, better))
        print(f"| {documents} | {'twins' if english is None else english} | {anew} | {better} | {share:.3f} | {smallest:.3f} |", flush=True)


if __name__ == "__main__":
    main()
