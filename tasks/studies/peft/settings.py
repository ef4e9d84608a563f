"""Settings of the study of tuning methods."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from tasks.settings import StageSettings


class PeftStudySettings(StageSettings):
    """Which methods are compared, and on how much. What is not here is as tune has it by default, each method's learning rate included."""

    methods: Annotated[list[Literal["lora", "full", "qlora", "adapter", "prompt", "prefix", "ia3"]], Field(min_length=1)] = Field(
        ["lora", "full", "qlora", "adapter", "prompt", "prefix", "ia3"],
        description="Methods that are compared; the others are compared with the first",
    )
    epochs: float = Field(3.0, gt=0, description="Passes over the rows")
    max_rows: int = Field(0, ge=0, description="At most so many training rows, languages in balance; 0 takes all")
    max_items: int = Field(0, ge=0, description="At most so many held-out rows, languages in balance; 0 takes all")
    max_tokens: int = Field(512, ge=8, description="Longest row in tokens; the end of a longer one goes")
    batch_size: int = Field(8, ge=1, description="Rows of an optimizer step")
    micro_batch: int = Field(4, ge=1, description="Rows that are in memory at once")
    seed: int = Field(0, ge=0, description="Seed of the order of the rows and of what is added to the model")

    @field_validator("methods")
    @classmethod
    def _once_each(cls, methods: list[str]) -> list[str]:
        if len(set(methods)) < len(methods):
            raise ValueError("a method is named twice")
        return methods

    QUICK: ClassVar[dict[str, Any]] = {"epochs": 1.0, "max_rows": 96, "max_tokens": 160, "micro_batch": 8}
