"""Settings of the stages evaluate and promote."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.settings import StageSettings


class EvaluateSettings(StageSettings):
    """What every model is asked."""

    loss_items: int = Field(160, ge=2, description="Held-out instructions and questions whose answers are scored, languages in balance")
    prompts: int = Field(128, ge=2, description="Held-out prompts that every model answers, languages in balance")
    answer_tokens: int = Field(48, ge=1, description="Longest answer in tokens")
    temperature: float = Field(0.7, ge=0, description="Sampling temperature of those answers; 0 takes the likeliest token")
    seed: int = Field(0, ge=0, description="Seed of those answers, the same for every model")
    choice_items: int = Field(60, ge=0, description="Multiple-choice questions, answered by likelihood")
    timed_items: int = Field(12, ge=2, description="Questions that the chatbot is asked one by one, to be timed; all others many at once")
    requests: int = Field(
        40,
        ge=0,
        description="Held-out requests put to the chatbot, harmful and harmless ones that look like them, so many each in each language",
    )
    max_tokens: int = Field(512, ge=32, description="Items longer than this in tokens are cut at the end of the answer")
    resamples: int = Field(2000, ge=100, description="Bootstrap resamples behind every interval")

    QUICK: ClassVar[dict[str, Any]] = {
        "loss_items": 48,
        "prompts": 64,
        "answer_tokens": 32,
        "choice_items": 16,
        "timed_items": 6,
        "requests": 10,
    }


class PromoteSettings(StageSettings):
    """When a new model takes the champion's place."""

    max_refusal_increase: float = Field(0.10, ge=0, le=1, description="Guard: refusals may rise by at most this share of the answers")
    max_length_ratio: float = Field(2.5, gt=1, description="Guard: the median answer may be at most so many times as long, or as short")
    max_distinct_loss: float = Field(0.20, ge=0, le=1, description="Guard: distinct-2 may fall by at most this share")
    max_latency_ratio: float = Field(2.0, gt=0, description="Guard: the median answer may take at most so many times as long")
    min_hit_at_5: float = Field(
        0.5, ge=0, le=1, description="Guard: the index must find the right document among five for this share of the questions"
    )
