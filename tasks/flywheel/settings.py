"""Settings of the harvest of chats."""

from typing import Literal

from pydantic import Field

from tasks.settings import StageSettings


class HarvestSettings(StageSettings):
    """Which ratings and corrections become training data."""

    history: int = Field(
        2, ge=0, le=10, description="Earlier questions and answers of a conversation that stay before the one that was rated"
    )
    min_support: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of its sentences that the sources must support for an answer with a thumb up to become an instruction",
    )
    max_pairs: int = Field(4, ge=1, description="Preference pairs that one question may give; those on which people agree most stay")
    near_duplicate: float = Field(
        0.85, gt=0.5, le=1.0, description="Jaccard similarity of character 5-grams from which two rows count as duplicates"
    )
    health: Literal["hold", "learn"] = Field(
        "hold",
        description="What becomes of turns that may speak of somebody's health: hold leaves them out and lists them in feedback/chats.held.jsonl",
    )
    dry_run: bool = Field(False, description="Count and show, and leave the files for the next retraining as they are")
