"""What tells that a policy pleases its reward model without getting better, and when to stop it (Gao et al. 2023; Skalse et al. 2022).

A score can be raised by length, by repetition, by refusing or by copying the prompt, and beyond some KL it rises for no reason that a person
would accept. Every round these are measured; limits on them are relative to the run's first rounds, when the policy was the tuned model.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tasks.rlhf.settings import PPOSettings
from tasks.text.measures import is_refusal

DONE = "all updates done"  # how a run ends that no guard stops
LIMITED = ("kl", "length", "distinct_2", "refused", "copied")  # figures of a round that limits are put on
WINDOW = 4  # rounds that a mean is taken over: one round of 16 answers is too noisy to stop a run


def distinct_2(answers: Sequence[Sequence[int]]) -> float:
    """Share of different token pairs among all pairs within answers (Li et al. 2016); 1 where there are none."""
    pairs = [pair for answer in answers for pair in pairwise(answer)]
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def copy_rate(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], n: int = 4) -> float:
    """Share of the answers' token n-grams that stand in their own prompt; 0 where answers are shorter than n."""
    copied = total = 0
    for prompt, answer in zip(prompts, answers, strict=True):
        known = {tuple(prompt[i : i + n]) for i in range(len(prompt) - n + 1)}
        grams = [tuple(answer[i : i + n]) for i in range(len(answer) - n + 1)]
        copied, total = copied + sum(gram in known for gram in grams), total + len(grams)
    return copied / total if total else 0.0


def refusal_rate(texts: Sequence[str]) -> float:
    return sum(map(is_refusal, texts)) / len(texts)


@dataclass
class Guards:
    """Watches the rounds of a run. `seen` holds, per round, the figures that limits are put on."""

    settings: PPOSettings
    decode: Callable[[list[int]], str]
    seen: list[dict[str, float]] = field(default_factory=list)

    def measure(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> dict[str, float]:
        """Of one round: distinct_2, refused and copied, each from 0 to 1."""
        return {
            "distinct_2": distinct_2(answers),
            "refused": refusal_rate([self.decode(answer) for answer in answers]),
            "copied": copy_rate(prompts, answers),
        }

    def reason_to_stop(self, figures: dict[str, float]) -> str | None:
        """Note a round's figures, those of `LIMITED`; says which limit it breaks, if any."""
        self.seen.append(figures)
        limits = self.settings
        if figures["kl"] > limits.kl_limit:
            return f"KL {figures['kl']:.2f} over align.kl_limit = {limits.kl_limit}"
        if len(self.seen) < 2 * WINDOW:
            return None
        start, now = self._mean(self.seen[:WINDOW]), self._mean(self.seen[-WINDOW:])
        if abs(now["length"] / start["length"] - 1) > limits.length_limit:
            return f"answers of {now['length']:.1f} tokens against {start['length']:.1f} at first, a change over align.length_limit = {limits.length_limit:g}"
        if now["distinct_2"] < start["distinct_2"] * (1 - limits.distinct_limit):
            return f"distinct-2 fell from {start['distinct_2']:.3f} to {now['distinct_2']:.3f}, by more than align.distinct_limit = {limits.distinct_limit:g}"
        for name, limit in (("refused", limits.refusal_limit), ("copied", limits.copy_limit)):
            if now[name] > start[name] + limit:
                return f"the share {name} rose from {start[name]:.2f} to {now[name]:.2f}, by more than {limit:g} (align.{'refusal' if name == 'refused' else 'copy'}_limit)"
        return None

    def _mean(self, rounds: list[dict[str, float]]) -> dict[str, float]:
        return {name: sum(figures[name] for figures in rounds) / len(rounds) for name in rounds[0]}


def alarm(first: Sequence[float], second: Sequence[float]) -> str | None:
    """Whether the scores of a reward model rise while those of one trained on other pairs fall: the sign of a policy that exploits the first.

    Means over the first and the last quarter of the rounds are compared; a change counts when it is over two standard errors.
    """
    quarter = max(2, len(first) // 4)
    if len(first) < 2 * quarter:
        return None
    (rise, rise_error), (fall, fall_error) = (_change(values, quarter) for values in (first, second))
    if rise > 2 * rise_error and fall < -2 * fall_error:
        return f"reward hacking: the score rose by {rise:.2f} while a second reward model, trained on other pairs, fell by {-fall:.2f}"
    return None


def _change(values: Sequence[float], quarter: int) -> tuple[float, float]:
    """Mean of the last quarter less that of the first, and the standard error of that difference."""
    parts = values[:quarter], values[-quarter:]
    means = [sum(part) / quarter for part in parts]
    squares = sum((value - mean) ** 2 for part, mean in zip(parts, means, strict=True) for value in part)
    return means[1] - means[0], math.sqrt(squares / (quarter - 1) / quarter)
