"""Whether a new model takes the champion's place: one primary measure with its interval, guards, and a reason in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.errors import MigakiError
from tasks.evaluation.settings import PromoteSettings

METRIC = "answer_loss_per_character"


@dataclass(frozen=True)
class Decision:
    """`difference` is the release's loss per character less the champion's, with its 95 % interval."""

    decision: Literal["promote", "keep", "inconclusive", "unchanged"]
    reason: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def lookup(figures: Sequence[dict[str, Any]], model: str, metric: str, lang: str = "all") -> dict[str, Any] | None:
    return next((row for row in figures if row["model"] == model and row["metric"] == metric and row["lang"] == lang), None)


def broken_guards(figures: Sequence[dict[str, Any]], champion: str, settings: PromoteSettings) -> list[str]:
    """What speaks against the release, in words; each guard is passed over where it was not measured."""

    def both(metric: str) -> tuple[float, float] | None:
        new, old = lookup(figures, "release", metric), lookup(figures, champion, metric)
        return (new["value"], old["value"]) if new and old else None

    broken = []
    if (pair := both("refusals")) and pair[0] - pair[1] > settings.max_refusal_increase:
        broken.append(f"it refuses {pair[0]:.0%} of the prompts, the champion {pair[1]:.0%}")
    if (pair := both("median_tokens")) and max(pair) > settings.max_length_ratio * max(1.0, min(pair)):
        broken.append(f"its median answer has {pair[0]:.0f} tokens, the champion's {pair[1]:.0f}")
    if (pair := both("distinct_2")) and pair[0] < (1 - settings.max_distinct_loss) * pair[1]:
        broken.append(f"its answers vary less: distinct-2 {pair[0]:.2f} against {pair[1]:.2f}")
    if (pair := both("chat.whole_p50")) and pair[0] > settings.max_latency_ratio * pair[1]:
        broken.append(f"it takes {pair[0]:.1f} s for an answer, the champion {pair[1]:.1f} s")
    hit_at_5 = lookup(figures, "index", "hit@5")
    if hit_at_5 and hit_at_5["value"] < settings.min_hit_at_5:
        broken.append(
            f"the index finds the right document among five for {hit_at_5['value']:.0%} of the questions, {settings.min_hit_at_5:.0%} are asked for"
        )
    return broken


def decide(figures: Sequence[dict[str, Any]], champion: str, settings: PromoteSettings) -> Decision:
    """Compare `release` with the model called `champion` in the figures of one evaluation.

    Raises:
        MigakiError: the evaluation did not compare them.
    """
    row = lookup(figures, f"release - {champion}", METRIC)
    who = "the champion" if champion == "champion" else "the base model"
    if row is None:
        raise MigakiError(f"the evaluation does not compare the release with {who}: run `migaki evaluate` first")
    value, low, high = row["value"], row["low"], row["high"]
    words = f"answer loss per character {value:+.3f} against {who} (95 % interval {low:+.3f} to {high:+.3f}, {row['items']} items)"
    if broken := broken_guards(figures, champion, settings):
        return Decision("keep", f"a guard speaks against it: {'; '.join(broken)}; {words}", value, low, high)
    if high < 0:
        return Decision("promote", f"better: {words}; every guard holds", value, low, high)
    if low > 0:
        return Decision("keep", f"worse: {words}", value, low, high)
    return Decision("inconclusive", f"the interval holds zero: {words}; the champion stays", value, low, high)
