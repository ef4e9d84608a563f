"""Figures of a study: of each arm, and of its difference from the first one on the same items, by language, with bootstrap intervals over groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.statistics import Interval, bootstrap, holm_intervals
from tasks.studies.study import ALL, Arm, Item, Measure, Results, Study

RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A measure of an arm, with its 95 % interval; `against` names the arm that it is a difference from, "" where it is none."""

    arm: str
    measure: str
    lang: str
    interval: Interval
    against: str = ""


@dataclass(frozen=True)
class Winner:
    """Which arm is best by the first measure, and why, as a sentence; `arm` is the first one where no other is shown to be better."""

    arm: str
    because: str


def figures(study: Study, results: Results) -> list[Figure]:
    """Every measure of every arm, and the differences from the first arm, in each language and in all of them."""
    langs = sorted({item.lang for item in study.items})
    found = []
    for lang in langs + [ALL] * (len(langs) > 1):
        items = [item for item in study.items if lang in (item.lang, ALL)]
        for measure in study.measures:
            taken = {arm.name: _taken(results, arm.name, measure) for arm in study.arms}
            found += [figure for arm in study.arms if (figure := _figure(items, taken[arm.name], arm, measure, lang))]
            first = study.arms[0]
            for arm in study.arms[1:]:
                if figure := _difference(items, taken[arm.name], taken[first.name], arm, first, measure, lang):
                    found.append(figure)
    return found


def winner(study: Study, results: Results) -> Winner:
    """The best arm by the first measure over all languages, among those whose interval of the difference from the first arm (Holm over arms) misses zero
    on the better side. Chosen on these items: on others it is worth a little less, and the gate decides."""
    measure, first = study.measures[0], study.arms[0]
    base = _taken(results, first.name, measure)
    samples: dict[str, list[float]] = {}
    for arm in study.arms[1:]:
        own = _taken(results, arm.name, measure)
        groups = _groups([item for item in study.items if item.id in own and item.id in base])
        if len(groups) > 1:
            samples[arm.name] = [float(np.mean([_ratio(own[item]) - _ratio(base[item]) for item in group])) for group in groups]
    sign = -1 if measure.better == "lower" else 1
    intervals = dict(zip(samples, holm_intervals(list(samples.values())), strict=True)) if samples else {}
    better = {name: one for name, one in intervals.items() if sign * (one.low if sign > 0 else one.high) > 0}
    if not measure.better or not better:
        return Winner(first.name, f"no other arm is shown to be better than {first.name!r} by {measure.label or measure.name}")
    best = max(better, key=lambda name: sign * better[name].value)
    one = better[best]
    return Winner(
        best,
        f"{best!r} is better than {first.name!r} by {measure.label or measure.name}: {one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f}, Holm)",
    )


Taken = Mapping[str, tuple[float, float]]  # by item, a value and what it is divided by


def _taken(results: Results, arm: str, measure: Measure) -> Taken:
    return {
        row.item: (row.answer.values[measure.name], row.answer.values[measure.per] if measure.per else 1.0)
        for row in results.of(arm)
        if measure.name in row.answer.values
    }


def _ratio(pair: tuple[float, float]) -> float:
    return pair[0] / pair[1] if pair[1] else 0.0


def _groups(items: Sequence[Item]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(item.group or f"\0{item.id}", []).append(item.id)
    return list(groups.values())


def _figure(items: Sequence[Item], own: Taken, arm: Arm, measure: Measure, lang: str) -> Figure | None:
    groups = _groups([item for item in items if item.id in own])
    if not groups:
        return None
    value, size = _sums(groups, own)
    counted = sum(map(len, groups))
    interval = bootstrap(lambda rows: value[rows].sum(-1) / size[rows].sum(-1), len(groups), RESAMPLES)
    return Figure(arm.name, measure.name, lang, Interval(interval.value, interval.low, interval.high, counted))


def _difference(items: Sequence[Item], own: Taken, base: Taken, arm: Arm, first: Arm, measure: Measure, lang: str) -> Figure | None:
    groups = _groups([item for item in items if item.id in own and item.id in base])
    if not groups:
        return None
    (a, m), (b, n) = _sums(groups, own), _sums(groups, base)
    interval = bootstrap(lambda rows: a[rows].sum(-1) / m[rows].sum(-1) - b[rows].sum(-1) / n[rows].sum(-1), len(groups), RESAMPLES)
    return Figure(arm.name, measure.name, lang, Interval(interval.value, interval.low, interval.high, sum(map(len, groups))), first.name)


def _sums(groups: Sequence[Sequence[str]], taken: Taken) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array([[sum(taken[item][side] for item in group) for side in (0, 1)] for group in groups], dtype=float)
    return pairs[:, 0], pairs[:, 1]
