"""Settings of the stage answering."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.settings import StageSettings


class AnsweringSettings(StageSettings):
    """How it is measured whether each language is written, quoted, or both."""

    questions: int = Field(
        48,
        ge=0,
        description="Own questions with `accept` that are asked in each language; 0 measures nothing, and the catalogue of models says",
    )
    margin: float = Field(
        0.08,
        ge=0,
        description="Writing that is worth more than quoting may yet be worth so much less by the lower end of its interval; with more quoting stays",
    )

    QUICK: ClassVar[dict[str, Any]] = {"questions": 16}
