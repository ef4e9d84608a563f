"""Settings of the stage calibrate."""

from pydantic import Field

from tasks.settings import StageSettings


class CalibrateSettings(StageSettings):
    """How far the confidence of an index goes by the team's own questions."""

    strength: float = Field(
        16.0,
        gt=0,
        description="How strongly it is held to what is bundled: with few questions it stays there, with many it is theirs",
    )
    folds: int = Field(10, ge=2, le=100, description="Parts of the documents, each of whose questions are told by what the others say")
    unsure: float = Field(
        0.18,
        ge=0,
        le=0.2,
        description="Share of all questions asked, with and without an answer, that may end unsure; more are turned away with less",
    )
