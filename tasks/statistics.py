"""Intervals and quantiles, as pure functions."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval, from `items` items."""

    value: float
    low: float
    high: float
    items: int


def bootstrap(statistic: Callable[[np.ndarray], np.ndarray], items: int, resamples: int, seed: int = 0) -> Interval:
    """Percentile bootstrap over items (Efron 1979). `statistic` takes rows of indices (R, items) and gives R values; rows are resampled once for
    both sides of a difference, which makes it a paired one."""
    value = float(statistic(np.arange(items)[None, :])[0])
    drawn = statistic(np.random.default_rng(seed).integers(0, items, (resamples, items)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high), items)


def mean_interval(values: Sequence[float], resamples: int) -> Interval:
    array = np.asarray(values, dtype=float)
    return bootstrap(lambda rows: array[rows].mean(-1), len(array), resamples)


def holm_intervals(samples: Sequence[Sequence[float]], error: float = 0.05) -> list[Interval]:
    """Intervals of the samples' means of which, where all true means are zero, any misses zero with a probability of `error` (Holm 1979).

    The mean that is surest not to be zero gets its interval at 1 - error / m, the next one at 1 - error / (m - 1), and so on while they miss zero;
    those after the first that holds it share its level. By Student's t: of 24 items and a tail below 1 %, percentile bootstraps are too narrow.
    """
    from scipy.special import stdtrit  # not above: commands read intervals, and need no scipy

    means, errors = (
        [statistics.fmean(sample) for sample in samples],
        [statistics.stdev(sample) / math.sqrt(len(sample)) for sample in samples],
    )
    sure = sorted(range(len(samples)), key=lambda place: -abs(means[place]) / errors[place] if errors[place] else -math.inf)
    intervals = [Interval(mean, mean, mean, len(sample)) for mean, sample in zip(means, samples, strict=True)]
    left, going = len(samples), True
    for place in sure:
        half = float(stdtrit(len(samples[place]) - 1, 1 - error / 2 / left)) * errors[place]
        intervals[place] = replace(intervals[place], low=means[place] - half, high=means[place] + half)
        going = going and abs(means[place]) > half
        left -= going
    return intervals


def ratio_difference(a: Sequence[float], b: Sequence[float], sizes: Sequence[float], resamples: int) -> Interval:
    """sum(a)/sum(sizes) - sum(b)/sum(sizes), paired by item: the difference of two losses per character."""
    a_, b_, n = (np.asarray(values, dtype=float) for values in (a, b, sizes))
    return bootstrap(lambda rows: (a_[rows].sum(-1) - b_[rows].sum(-1)) / n[rows].sum(-1), len(n), resamples)


def ratio_interval(values: Sequence[float], sizes: Sequence[float], resamples: int) -> Interval:
    return ratio_difference(values, [0.0] * len(sizes), sizes, resamples)


def wilson_interval(count: int, items: int) -> tuple[float, float]:
    """The 95 % interval of the proportion `count` of `items` (Wilson 1927)."""
    z, p = 1.959964, count / items
    middle, half = p + z * z / (2 * items), z * math.sqrt(p * (1 - p) / items + z * z / (4 * items * items))
    return (middle - half) / (1 + z * z / items), (middle + half) / (1 + z * z / items)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (linear between neighbours)."""
    return float(np.quantile(np.asarray(values, dtype=float), share))


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
