"""Which model goes on after align: the aligned one, or the tuned one that it began as.

The first reward says whether PPO reached what it aimed at, on prompts that it did not learn on; the second, which no policy has seen, whether that
is more than an exploit of the first (Gao et al. 2023). The aligned model has to have gained by the first and must not have lost by either.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from storage.choice import Choice, RewardDifference
from tasks.statistics import holm_intervals

FIRST, SECOND = "first", "second"
FEWEST = 8  # prompts of a language from which an interval says something

Gains = Mapping[str, Mapping[str, Sequence[float]]]  # by reward and language: aligned less tuned, prompt by prompt


def choose(gains: Gains) -> Choice:
    """The tuned model where an interval of a reward in a language lies below zero (Holm over all of them), or where the mean of the first
    reward fell, languages counting the same; else the aligned one, which is also taken where there is no prompt."""
    differences = _differences(gains)
    if not differences:
        return Choice("aligned", "the aligned model goes on: no held-out prompt to compare it with the tuned one on", [])
    mean = round(fmean(one.value for one in differences if one.reward == FIRST), 3)  # what is less is noise of sums in another order
    reasons = [
        f"the {one.reward} reward fell in {one.lang} by {-one.value:.2f} ({one.low:+.2f} to {one.high:+.2f})"
        for one in differences
        if one.low is not None and one.high is not None and one.high < 0
    ]
    if mean < 0:
        reasons.append(f"the mean of the first reward fell by {-mean:.3f}")
    prompts = sum(one.prompts for one in differences if one.reward == FIRST)
    few = [f"{one.lang} ({one.prompts})" for one in differences if one.reward == FIRST and one.low is None]
    ending = f", on {prompts} held-out prompts" + (f", of which too few for an interval in {', '.join(few)}" if few else "")
    if reasons:
        return Choice("tuned", f"the tuned model goes on: {', and '.join(reasons)}{ending}", differences)
    gained = f"the mean of the first reward rose by {mean:.3f}" if mean else "the mean of the first reward did not change"
    return Choice("aligned", f"the aligned model goes on: {gained}, and neither reward fell beyond doubt{ending}", differences)


def _differences(gains: Gains) -> list[RewardDifference]:
    """Means by reward and language, with intervals where the prompts suffice."""
    found = [(reward, lang, values) for reward in (FIRST, SECOND) for lang, values in sorted(gains.get(reward, {}).items()) if values]
    enough = [place for place, (_, _, values) in enumerate(found) if len(values) >= FEWEST]
    intervals = dict(zip(enough, holm_intervals([found[place][2] for place in enough]), strict=True))
    differences = []
    for place, (reward, lang, values) in enumerate(found):
        bounds = {"low": intervals[place].low, "high": intervals[place].high} if place in intervals else {}
        differences.append(RewardDifference(reward, lang, fmean(values), len(values), **bounds))
    return differences
