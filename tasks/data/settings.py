"""Settings of the stage prepare."""

from typing import ClassVar

from pydantic import Field

from tasks.settings import Day, StageSettings

FILES = "each a path, or format:path"


class PrepareSettings(StageSettings):
    """Which files to read and what to drop."""

    instructions: list[str] = Field(
        ["examples/instructions.en.jsonl", "examples/instructions.ja.jsonl"],
        description=f"Instruction files ({FILES}: alpaca, messages, sharegpt, prompt_completion)",
    )
    preferences: list[str] = Field(
        ["examples/preferences.en.jsonl", "examples/preferences.ja.jsonl"],
        description=f"Preference files ({FILES}: pairs, hh, responses, unpaired)",
    )
    feedback: bool = Field(
        True, description="Add what people said here to the files: comparisons (`migaki label`) and what chats gave (`migaki harvest`)"
    )
    documents: list[str] = Field(
        ["examples/documents"], description="Files, folders and globs of txt, md, html, pdf, docx, csv and jsonl for the index"
    )
    follow_links: bool = Field(
        False, description="Take along what links inside a folder of documents point at outside of it; then the labels of both sides hold"
    )
    questions: list[str] = Field(
        ["examples/questions.en.jsonl", "examples/questions.ja.jsonl"], description=f"Held-out question files ({FILES}: qa, squad)"
    )
    followups: list[str] = Field(
        ["examples/followups.en.jsonl", "examples/followups.ja.jsonl"],
        description="Held-out files of two questions in a row (kind: real or topic_change, first, second, document, accept)",
    )
    text: list[str] = Field([], description="Raw text files for continued pre-training; none skips that stage")
    max_instructions: int = Field(0, ge=0, description="Take at most so many instruction rows, languages in balance; 0 takes all")
    max_preferences: int = Field(
        0,
        ge=0,
        description="Take at most so many preference pairs, and as many rows of unpaired feedback, languages in balance; 0 takes all",
    )
    max_questions: int = Field(0, ge=0, description="Take at most so many questions, languages in balance; 0 takes all")
    eval_share: float = Field(0.15, gt=0, lt=0.5, description="Share of the rows held out, chosen by a hash of their content")
    near_duplicate: float = Field(
        0.85, gt=0.5, le=1.0, description="Jaccard similarity of character 5-grams from which two rows count as duplicates"
    )
    max_malformed: float = Field(0.10, ge=0, lt=1, description="Share of malformed rows in a file from which the stage fails")

    max_unpacked_mb: int = Field(
        1000, ge=1, le=100_000, description="Megabytes (10^6 bytes) that one packed file (.gz, Parquet) may become"
    )

    today: Day = Field(
        "2025-01-01",
        description="The day that a chat template which writes today's date is told in training and evaluation, so that results do not depend on when",
    )

    PATHS: ClassVar[set[str]] = {"instructions", "preferences", "documents", "questions", "followups", "text"}
