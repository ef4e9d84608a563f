"""Linear layers by torch's default library (MKL) and by oneDNN, in turn, in float32: GFLOP/s forward and backward.

    python benchmarks/linear.py

Shapes are those of the bundled model; rows are a decoding step of 16 answers, and a micro-batch that learns.
"""

import statistics
import time
from collections.abc import Callable

import torch

import tasks.models.linear as linear

ROWS, SHAPES, RUNS = (16, 512), {"feed-forward": (576, 1536), "attention": (576, 576), "head": (576, 49152)}, 7


def main() -> None:
    print(
        f"{linear._maker() or 'unknown'} processor, {torch.get_num_threads()} threads; taken here: {'oneDNN' if linear.FASTER else 'MKL'}"
    )
    for name, (k, n) in SHAPES.items():
        for rows in ROWS:
            x, weight, gradient = torch.randn(rows, k), torch.randn(n, k), torch.randn(rows, n)
            for what, run in (
                ("forward", lambda x=x, w=weight: linear.product(x, w)),
                ("backward", lambda g=gradient, w=weight: linear.product(g, w.t())),
            ):
                mkl, onednn = alternate(run)
                work = 2 * rows * k * n / 1e9
                print(f"{name:12} {rows:4} rows {what:8}: MKL {work / mkl:4.0f}, oneDNN {work / onednn:4.0f} GFLOP/s, {mkl / onednn:.2f}x")


def alternate(run: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of a call by each library."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(RUNS):
        for faster in seconds:
            linear.FASTER = faster
            run()
            start = time.perf_counter()
            for _ in range(5):
                run()
            seconds[faster].append((time.perf_counter() - start) / 5)
    return statistics.median(seconds[False]), statistics.median(seconds[True])


if __name__ == "__main__":
    main()
