"""Settings of the stage quantize."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from tasks.settings import StageSettings


class QuantizeSettings(StageSettings):
    """Which variant is served, and what it may cost."""

    pick: Literal["fp16", "int8", "nf4", "auto"] = Field(
        "fp16", description="The variant to serve; auto takes the smallest that max_loss allows"
    )
    max_loss: float = Field(
        0.05,
        ge=0,
        description="A variant whose perplexity is higher than the fp32 model's by more than this share is not picked; the next larger one is",
    )
    int8_threshold: float = Field(
        6.0,
        ge=0,
        description="int8: input features beyond this are multiplied in 16 bits, as LLM.int8() does; 0 turns that off, faster and less exact",
    )
    eval_tokens: int = Field(8000, ge=100, description="Tokens of held-out instructions that every variant is measured on")
    keep_all: bool = Field(False, description="Keep the weights of all variants, not of the picked one alone")

    QUICK: ClassVar[dict[str, Any]] = {"eval_tokens": 2000}
