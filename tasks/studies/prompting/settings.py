"""Settings of the study prompt_study."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.settings import Names, StageSettings

OWN = "own"  # the suite of the team's own questions


class SolvingSettings(StageSettings):
    """Ways of asking questions whose answer is taken out of what the model writes."""

    PATHS: ClassVar[set[str]] = {"suite", "benchmarks_dir", "prompts"}

    suite: str = Field(
        "gsm8k",
        description="What is asked: own (the team's questions, through the chatbot), a benchmark (gsm8k, svamp, commonsenseqa, strategyqa, last_letters, "
        "mgsm_ja, ...), or a file in a published form",
    )
    benchmarks_dir: str = Field(
        "", description="Folder that holds the benchmarks' files, or has them in its folders knowledge and reasoning"
    )
    methods: Names = Field(
        ["zero", "few:4", "cot"],
        description="Ways of asking: zero, few:N (N examples), cot (step by step), few-cot:N (examples with their steps), self-consistency:N (step by step, "
        "N times, the answer that comes most often); the first is what the others are compared with",
    )
    prompts: str = Field("", description="Folder of a team's own prompts, over the bundled ones of the same name and language")
    items: int = Field(100, ge=1, description="Questions that are asked, drawn by the seed; of own ones, so many in each language")
    seed: int = Field(0, ge=0, description="Seed by which questions and examples are drawn, and answers sampled")
    answer_tokens: int = Field(64, ge=1, description="Longest answer in tokens where it is asked for at once")
    reasoning_tokens: int = Field(192, ge=1, description="Longest answer in tokens where steps are written first")
    temperature: float = Field(0.7, gt=0, description="Of self-consistency, which samples; all other ways take the likeliest token")

    QUICK: ClassVar[dict[str, Any]] = {"items": 24, "reasoning_tokens": 128}


class OwnPromptsSettings(StageSettings):
    """Templates of the chatbot beside those of its release."""

    PATHS: ClassVar[set[str]] = {"prompts"}

    templates: Names = Field(
        ["brief", "shown"], description="Of the suite own: prompts of the library that are held against those of the release"
    )
    prompts: str = Field("", description="Folder of a team's own prompts, over the bundled ones of the same name and language")
    items: int = Field(100, ge=1, description="Questions that are asked, drawn by the seed; of own ones, so many in each language")


class PromptStudySettings(SolvingSettings, OwnPromptsSettings):
    """Ways of asking, and templates of the chatbot."""
