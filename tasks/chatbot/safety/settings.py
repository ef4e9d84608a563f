"""Settings of the safety filters: what the guard does, and what its classifier is trained on."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from tasks.chatbot.safety.language import languages
from tasks.settings import StageSettings


def _known(lang: str) -> str:
    if lang not in languages():
        raise ValueError(f"{lang!r} is none of the languages: {', '.join(languages())}")
    return lang


def _choices(schema: dict[str, Any]) -> None:
    schema["enum"] = list(languages())


class GuardSettings(StageSettings):
    """What the filters do with what they find."""

    harm: Literal["block", "note", "off"] = Field(
        "block", description="Harmful requests and answers: refuse, only write down, or do not look"
    )
    personal: Literal["redact", "block", "off"] = Field(
        "redact", description="Personal data in an answer that stands neither in the question nor in the sources"
    )
    injection: Literal["note", "block", "off"] = Field(
        "note", description="Documents that give the model orders: write down (the orders are quoted as text), leave out, or do not look"
    )


class ClassifierSettings(StageSettings):
    """What the classifier of harmful requests learns from, and how."""

    PATHS: ClassVar[set[str]] = {"examples", "harmful", "harmless"}

    examples: list[str] = Field(
        ["examples/safety.en.jsonl", "examples/safety.ja.jsonl"],
        description="Files of rows with prompt, label (harmful, harmless), and, if known, topic and split (train, heldout: only measured on)",
    )
    harmful: list[str] = Field([], description="Files of harmful requests; the field is prompt, instruction or question")
    harmless: list[str] = Field(
        [
            "examples/requests.en.jsonl",
            "examples/instructions.en.jsonl",
            "examples/instructions.ja.jsonl",
            "examples/questions.en.jsonl",
            "examples/questions.ja.jsonl",
        ],
        description="Files of everyday requests, read as `harmful` is",
    )
    over_refusal_en: float = Field(
        0.0075,
        gt=0,
        lt=0.5,
        description="Share of the look-alike harmless English training rows (in cross-validation) that rules and classifier may refuse: sets the "
        "threshold. Small, because people's requests look more alike than our own rows do",
    )
    over_refusal_ja: float = Field(0.03, gt=0, lt=0.5, description="The same of Japanese rows")
    form: float = Field(
        0.1,
        gt=0,
        le=1,
        description="How much words count that only say how a request is put (write, how do I): little with few everyday examples, 1 with thousands",
    )
    meaning: list[Annotated[str, AfterValidator(_known), Field(json_schema_extra=_choices)]] = Field(
        ["en"],
        description="Languages whose requests are judged by what they mean, too, not by their words alone: those that the embedder knows",
    )
    regularisation: float = Field(1.0, gt=0, description="Inverse strength of the L2 penalty (scikit-learn's C)")
    min_count: int = Field(2, ge=1, description="Features that occur in fewer rows are left out")
    folds: int = Field(5, ge=2, description="Folds of the cross-validation that sets the thresholds")
    seed: int = Field(0, ge=0, description="Seed of the folds")

    def over_refusals(self) -> dict[str, float]:
        """The share of look-alike harmless rows that may be refused, by language; of a language without a setting, what the language says."""
        return {code: getattr(self, f"over_refusal_{code}", language.OVER_REFUSAL) for code, language in languages().items()}


class SafetySettings(ClassifierSettings, GuardSettings):
    """What becomes of harmful requests, personal data and orders inside documents, and what the classifier of harmful requests learns from."""
