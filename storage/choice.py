"""Which model goes on after align, as the records of adapters and models keep it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RewardDifference:
    """By how much the mean of a reward, `first` or `second`, is higher over the aligned model's answers than over the tuned one's, in standard
    deviations; `low` and `high` are Holm's interval, None where the prompts are too few for one."""

    reward: str
    lang: str
    value: float
    prompts: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Choice:
    """Which of two models goes on after align, and why, as a sentence."""

    goes_on: Literal["aligned", "tuned"]
    because: str
    differences: list[RewardDifference]
