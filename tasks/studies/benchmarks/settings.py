"""Settings of the stage benchmark."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from tasks.settings import StageSettings


class BenchmarkSettings(StageSettings):
    """Which benchmarks are run, and how they ask."""

    PATHS: ClassVar[set[str]] = {"benchmarks_dir", "suites"}

    names: list[str] = Field(
        [],
        description="Benchmarks by name: mmlu, jmmlu, arc_easy, arc_challenge, piqa, openbookqa, jcommonsenseqa, commonsenseqa, hellaswag, gsm8k, svamp, "
        "mgsm_ja, last_letters, strategyqa",
    )
    benchmarks_dir: str = Field(
        "", description="Folder that holds their files (docs/benchmarks.md), or has them in its folders knowledge and reasoning"
    )
    suites: list[str] = Field([], description="Files of benchmarks in a published form, whatever they are called")
    shots: int = Field(
        0, ge=0, le=32, description="Worked examples before each question; those of the suite, or drawn from it and then not asked"
    )
    items: int = Field(200, ge=0, description="Questions of each benchmark, drawn by the seed; 0 takes all")
    seed: int = Field(0, ge=0, description="Seed by which questions are drawn, and which examples stand before them in which order")
    score: Literal["sum", "bytes", "tokens", "pmi"] = Field(
        "bytes",
        description="By what a choice is taken: its log-likelihood, that by its bytes or its tokens, or less that behind an empty prompt; the others are "
        "figures beside it",
    )
    answer_tokens: int = Field(192, ge=1, description="Longest answer in tokens where answers are written")

    QUICK: ClassVar[dict[str, Any]] = {"items": 40, "answer_tokens": 96}
