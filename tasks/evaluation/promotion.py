"""Whether a release takes the champion's place: by what the chatbot is worth to those who ask, with an interval, guards, and a reason in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.asking.utility import POWER, Comparison, compare, questions_of
from tasks.errors import MigakiError
from tasks.evaluation.guards import Row, broken_guards, lookup
from tasks.evaluation.settings import PromoteSettings
from tasks.evaluation.summary import BENCHMARK

UTILITY, LOSS = "utility", "answer_loss_per_character"
BY_HAND = "the champion stays, and `migaki promote --to ID` puts the release in its place"


@dataclass(frozen=True)
class Decision:
    """`difference` of `metric` is the release's less the champion's, with its 95 % interval, from `items`. So many can show a difference of `smallest`;
    `needed` would show one of `promote.margin`. `guards` are those that broke, in words. Where a person is to decide (pending), `would` is what the gate
    alone says."""

    decision: Literal["promote", "keep", "inconclusive", "unchanged", "pending"]
    reason: str
    metric: str = UTILITY
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    items: int | None = None
    smallest: float | None = None
    needed: int | None = None
    guards: tuple[str, ...] = ()
    would: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What one evaluation says of the release and of what it is held against.

    Attributes:
        figures: of the models, as `evaluations` has them.
        rows: every turn of the chatbot, as `evaluation_answers` has them.
        champion: role of what the release is held against: champion or base.
        cost_wrong: what a wrong answer costs, where a right one is worth 1.
        no_loss: why answer loss tells nothing of these two, "" where it does.
    """

    figures: Sequence[Row]
    rows: Sequence[Row]
    champion: str
    cost_wrong: float = 1.0
    no_loss: str = ""

    @property
    def who(self) -> str:
        return "the champion" if self.champion == "champion" else "the base model"


def decide(evidence: Evidence, settings: PromoteSettings) -> Decision:
    """Decide on the release.

    It is promoted where the interval of the difference in utility lies above 0, or where its lower end is above -`margin` and the interval of the
    difference in answer loss lies below 0; never against a guard. With fewer than `min_questions` questions that can be judged answer loss decides.

    Raises:
        MigakiError: there are too few such questions, and the evaluation does not compare the losses that it should; or a benchmark is to be a guard that
            it did not measure.
    """
    _require_measured(evidence.figures, settings)
    broken = broken_guards(evidence.figures, evidence.rows, evidence.champion, settings)
    found = compare(evidence.rows, "release", evidence.champion, evidence.cost_wrong)
    if found is None or found.questions < settings.min_questions:
        return _by_loss(evidence, broken, questions_of(evidence.rows, "release"), settings)
    decision, reason = _by_utility(evidence, found, broken, settings)
    needed = found.needed(settings.margin)
    return Decision(decision, reason, UTILITY, found.value, found.low, found.high, found.questions, found.smallest, needed, tuple(broken))


def _require_measured(figures: Sequence[Row], settings: PromoteSettings) -> None:
    """A guard that looks at nothing would hold whatever was forgotten."""
    measured = {row["metric"].removeprefix(BENCHMARK) for row in figures if row["metric"].startswith(BENCHMARK)}
    if missing := sorted(set(settings.max_benchmark_loss) - measured):
        raise MigakiError(
            f"promote.max_benchmark_loss names {', '.join(map(repr, missing))}, which this evaluation did not measure (it measured "
            f"{', '.join(sorted(measured)) or 'no benchmark'}): run `migaki evaluate` with evaluate.benchmarks first"
        )


def _by_utility(
    evidence: Evidence, found: Comparison, broken: Sequence[str], settings: PromoteSettings
) -> tuple[Literal["promote", "keep", "inconclusive"], str]:
    by_language = ", ".join(f"{lang} {value:+.3f}" for lang, value in found.languages.items())
    words = (
        f"utility {found.value:+.3f} against {evidence.who} (95 % interval {found.low:+.3f} to {found.high:+.3f}; {by_language}; {found.questions} "
        f"questions about {found.documents} documents, each asked with and without them; {_shown(found, settings)})"
    )
    if broken:
        return "keep", f"a guard speaks against it: {'; '.join(broken)}; {words}"
    if found.low > 0:
        return "promote", f"better: {words}; every guard holds"
    if found.high < 0:
        return "keep", f"worse: {words}"
    loss = None if evidence.no_loss else _loss(evidence)
    if loss and loss["high"] < 0 and found.low > -settings.margin:
        return (
            "promote",
            f"as useful, within a margin of {settings.margin:g}, and its {_loss_words(loss, evidence)}: {words}; every guard holds",
        )
    why = evidence.no_loss and f"; answer loss tells nothing: {evidence.no_loss}"
    return "inconclusive", f"the interval holds zero: {words}{why}; {BY_HAND}"


def _shown(found: Comparison, settings: PromoteSettings) -> str:
    """How much these questions can tell."""
    words = f"with a power of {POWER:.0%} they show a difference of {found.smallest:.3f}"
    return words + (f", one of {settings.margin:g} takes about {found.needed(settings.margin)} questions" if settings.margin else "")


def _by_loss(evidence: Evidence, broken: Sequence[str], questions: int, settings: PromoteSettings) -> Decision:
    """The decision without questions of the team's own."""
    too_few = f"{questions} of the questions can be judged (accept), fewer than promote.min_questions = {settings.min_questions}"
    if evidence.no_loss:
        return Decision("inconclusive", f"{too_few}, and answer loss tells nothing: {evidence.no_loss}; {BY_HAND}")
    row = _loss(evidence)
    if row is None:
        raise MigakiError(f"the evaluation does not compare the release with {evidence.who}: run `migaki evaluate` first")
    facts = {"difference": row["value"], "low": row["low"], "high": row["high"], "items": row["items"]}
    words = f"{_loss_words(row, evidence)}, which decides as {too_few}"
    if broken:
        return Decision("keep", f"a guard speaks against it: {'; '.join(broken)}; {words}", LOSS, **facts, guards=tuple(broken))
    if row["high"] < 0:
        return Decision("promote", f"better: {words}; every guard holds", LOSS, **facts)
    if row["low"] > 0:
        return Decision("keep", f"worse: {words}", LOSS, **facts)
    return Decision("inconclusive", f"the interval holds zero: {words}; {BY_HAND}", LOSS, **facts)


def _loss(evidence: Evidence) -> Row | None:
    return lookup(evidence.figures, f"release - {evidence.champion}", LOSS)


def _loss_words(row: Row, evidence: Evidence) -> str:
    interval = f"95 % interval {row['low']:+.3f} to {row['high']:+.3f}, {row['items']} items"
    return f"answer loss per character {row['value']:+.3f} against {evidence.who} ({interval})"
