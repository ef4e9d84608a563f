"""Settings of the stage decoding_study."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.settings import StageSettings

STRATEGY = r"^(greedy|sample|beam:[2-8]|top_k:[1-9][0-9]*|(top_p|min_p):(0?\.[0-9]*[1-9][0-9]*|1(\.0*)?))$"


class DecodingStudySettings(StageSettings):
    """Which ways of decoding are compared, and on how much."""

    strategies: list[Annotated[str, Field(pattern=STRATEGY)]] = Field(
        ["greedy", "beam:5", "top_k:50", "top_p:0.95"],
        min_length=1,
        description="Ways of decoding: greedy, sample, beam:N, top_k:N, top_p:P, min_p:P; the others are compared with the first one",
    )
    temperatures: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        [0.3, 0.7, 1.0, 1.5], description="Temperatures of the strategies that draw"
    )
    items: int = Field(120, ge=1, description="Held-out prompts, languages in balance")
    samples: int = Field(
        3,
        ge=1,
        le=16,
        description="Answers that a strategy that draws gives to each prompt; of one alone it cannot be told how they differ",
    )
    max_new_tokens: int = Field(64, ge=1, description="Longest answer in tokens")
    prompt_tokens: int = Field(256, ge=1, description="Prompts of more tokens are left out")
    no_repeat_ngram: int = Field(0, ge=0, description="No run of so many tokens occurs twice in an answer; 0 allows it")
    repetition_penalty: float = Field(
        1.0, gt=0, description="Tokens of the answer are so much less likely to be said again; 1 is no penalty"
    )
    model: Literal["newest", "base"] = Field(
        "newest", description="newest studies the newest model that was made here, before the first the base model; base always that"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Of the answers that are drawn")

    QUICK: ClassVar[dict[str, Any]] = {"temperatures": [0.3, 1.0], "items": 48, "samples": 2, "max_new_tokens": 48}
