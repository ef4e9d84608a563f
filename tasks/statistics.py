"""Intervals and quantiles, as pure functions."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
