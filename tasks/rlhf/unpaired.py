"""Unpaired feedback, answers that were liked or not: KTO learns from it, and what all others say about it."""

from dataclasses import dataclass
from typing import Self

from tasks.errors import MigakiError
from tasks.rlhf.settings import AlignSettings

READER = "kto"
MOST = 4 / 3  # to which liked may outweigh disliked (Ethayarajh et al. 2024, section 4)


@dataclass(frozen=True)
class Counts:
    """Rows that a dataset has for training: pairs, and single answers that were liked or not."""

    pairs: int
    feedback: int

    @classmethod
    def of(cls, rows: dict[str, int] | None) -> Self:
        """Of the `rows` in a dataset's record, counted by `kind.split.lang`."""
        counts = {
            kind: sum(n for name, n in (rows or {}).items() if name.startswith(f"{kind}.train.")) for kind in ("preferences", "feedback")
        }
        return cls(counts["preferences"], counts["feedback"])


def without_reward_models(settings: AlignSettings, counts: Counts) -> bool:
    """Whether the run goes without reward models: KTO needs none to learn, and there are surely too few pairs to train the two of them."""
    return settings.algorithm == READER and counts.feedback > 0 and counts.pairs < 2 * settings.reward_batch_pairs


def require_pairs(reader: str, counts: Counts) -> None:
    """Raises:
    MigakiError: there is unpaired feedback and no pair, and this reader learns from pairs alone.
    """
    if counts.feedback and not counts.pairs:
        raise MigakiError(
            f"{reader} cannot learn from {counts.feedback} rows of unpaired feedback (single answers with a label), and the dataset has no pair: "
            f"take --set align.algorithm={READER}, which does, give pairs with --preferences, or skip RLHF with --set run.align=false"
        )


def unused(reader: str, counts: Counts) -> str:
    """What is to be said of feedback that this reader passes over; "" for none."""
    if not counts.feedback:
        return ""
    return f"WARNING: {counts.feedback} rows of unpaired feedback are not used: {reader} reads pairs alone; align.algorithm={READER} learns from both"


def weights(liked: int, disliked: int) -> tuple[float, float]:
    """(lambda_D, lambda_U), the weights of liked and disliked answers in KTO's loss.

    They bring `lambda_D * liked / (lambda_U * disliked)` to the nearest value from 1 to 4/3, where Ethayarajh et al. (2024, section 4) found KTO to
    learn best; of what is plenty an answer counts 1.

    Raises:
        MigakiError: there are none of one kind. KTO pulls the two apart; of one alone it would learn that everything, or nothing, is liked.
    """
    if not liked:
        raise MigakiError(
            f"none of the {disliked} answers that kto would learn from was liked: give liked ones too with --preferences (label: true)"
        )
    if not disliked:
        raise MigakiError(
            f"all {liked} answers that kto would learn from were liked: give disliked ones too with --preferences (label: false), or learn from these "
            "by tuning, with --instructions"
        )
    ratio = liked / disliked
    return max(1.0, 1 / ratio), max(1.0, ratio / MOST)
