"""What an artifact of each kind says of itself to others: one frozen dataclass per kind, checked when the artifact is committed.

The record stands in the manifest under `meta`. Manifests of earlier versions open too: what they lack has a default, what they have beyond it is
passed over. Fields that are None are not written.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from storage.calibrated import Calibrated
from storage.choice import Choice
from storage.home import StorageError
from storage.parts import NamedPrompt, Refused

Kind = Literal[
    "dataset",
    "model",
    "adapter",
    "reward_model",
    "rollouts",
    "index",
    "evaluation",
    "report",
    "classifier",
    "release",
    "calibration",
    "answering",
    "study",
]
Answering = Literal["write", "quote", "write and quote"]


@dataclass(frozen=True)
class Headline:
    """A key figure for the table at the end of the run."""

    label: str = ""
    before: float | str | None = None
    after: float | str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all kinds have."""

    KIND: ClassVar[Kind]
    headlines: list[Headline] | None = None

    @classmethod
    def of(cls, meta: dict[str, Any], where: str = "an artifact") -> Self:
        """The record in the `meta` of a manifest.

        Raises:
            StorageError: a field is missing or of another type; `where` names the artifact.
        """
        try:
            record: Self = _adapter(cls.KIND).validate_python(meta)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
            raise StorageError(f"{where} is no whole {cls.KIND}: {problems}") from error
        return record

    def meta(self) -> dict[str, Any]:
        """The record in plain values, as the manifest has it.

        Raises:
            StorageError: a field is of another type than its dataclass says.
        """
        plain: dict[str, Any] = _adapter(self.KIND).dump_python(self, mode="json", exclude_none=True, warnings=False)
        type(self).of(plain, f"what a stage made of kind {self.KIND!r}")
        return plain

    def with_headlines(self, headlines: list[Headline]) -> Self:
        return replace(self, headlines=headlines)


@cache
def _adapter(kind: Kind) -> TypeAdapter[Any]:
    return TypeAdapter(RECORDS[kind])


@dataclass(frozen=True, kw_only=True)
class Dataset(Record):
    """A dataset version; `rows` counts what was kept by `kind.split.lang`, `files` says of each file of rows its formats, what was kept
    and dropped why, what was done to its rows, and which fields nothing has read (`tasks.data.accounts`). `today` is the day that chat templates are told."""

    KIND = "dataset"
    kept: int = 0
    dropped: int = 0
    rows: dict[str, int] | None = None
    files: list[dict[str, Any]] | None = None
    today: str = ""


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a reward model's raw scores on answers of the tuned model."""

    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class Adapter(Record):
    """A step of training: an adapter on a chain of adapters, or a whole model with which a chain begins anew.

    `adapters` are ids of `adapter` artifacts from the first on the base to this one. `model` is the folder of a whole model inside the
    artifact. `method` is how it was tuned, `trunk` the precision of the weights that it learnt on: "nf4", or None for float32. What else is
    there says how the training went; each stage fills in what it has. With a `choice` the artifact holds nothing of its own: its chain is that
    of the model that goes on.
    """

    KIND = "adapter"
    adapters: list[str]
    model: str | None = None
    trained_parameters: int | None = None
    total_parameters: int | None = None
    method: str | None = None
    trunk: str | None = None
    rows: int | None = None
    rows_shortened: int | None = None
    rows_left_out: int | None = None
    held_out_rows: int | None = None
    turns: int | None = None
    answer_tokens: int | None = None
    answer_tokens_cut: int | None = None
    max_tokens: int | None = None
    template: str | None = None
    thinking: bool | None = None
    notes: dict[str, int] | None = None
    blocks: int | None = None
    held_out_blocks: int | None = None
    tokens: int | None = None
    algorithm: str | None = None
    ending: str | None = None
    episodes: int | None = None
    prompts: int | None = None
    alarm: str | None = None
    pairs: int | None = None
    pairs_left_out: int | None = None
    feedback: int | None = None
    feedback_left_out: int | None = None
    estimated_mib: int | None = None
    reward_model: Scale | None = None
    choice: Choice | None = None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Of a reward model on held-out pairs, with the 95 % interval; `by_length` has (accuracy, pairs) where the chosen answer is `shorter`,
    `alike` or `longer`, `calibration` rows of (confidence, share decided so, pairs)."""

    value: float
    low: float
    high: float
    pairs: int
    length_correlation: float
    by_length: dict[str, tuple[float, int]]
    calibration: list[tuple[float, float, int]]


@dataclass(frozen=True, kw_only=True)
class RewardModels(Record):
    """Two reward models, each of its half of the pairs. `pairs` are those trained on, `left_out` were too long, `cut` were made by cutting."""

    KIND = "reward_model"
    trained_parameters: int | None = None
    first_pairs: int | None = None
    first_left_out: int | None = None
    first_cut: int | None = None
    first_accuracy: Accuracy | None = None
    first_scale: Scale | None = None
    second_pairs: int | None = None
    second_left_out: int | None = None
    second_cut: int | None = None
    second_accuracy: Accuracy | None = None
    second_scale: Scale | None = None


@dataclass(frozen=True)
class Variant:
    """One precision of a model, measured. Losses are nats, sizes bytes; `extra_loss` is the share by which its perplexity exceeds the fp32 model's."""

    variant: str
    perplexity: float
    extra_loss: float
    loss_per_character: dict[str, float]  # by language
    disk_bytes: int
    memory_bytes: int  # the weights in their stored precision, without bitsandbytes' constants
    disk_saving: float  # share of the fp32 model's
    memory_saving: float
    textbook_saving: float
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Model(Record):
    """A model that can serve: `model` is its folder inside the artifact, `precision` what its weights are in, `choice` which model it was made of
    where there were two."""

    KIND = "model"
    precision: str
    model: str = "model"
    adapters: list[str] | None = None
    asked_for: str | None = None
    passed_over: list[str] | None = None
    variants: list[Variant] | None = None
    choice: Choice | None = None


@dataclass(frozen=True, kw_only=True)
class Index(Record):
    """An index with what was found of the stored questions' documents (None where no question names one), and how its dense side is
    built: `dense_type` flat or ivf, `dense_recall` against a scan of all vectors, `dense_probes` lists looked into, `embedders` in words."""

    KIND = "index"
    documents: int = 0
    chunks: int = 0
    skipped: int = 0
    sentences: int | None = None
    embedders: str | None = None
    dense_type: str | None = None
    dense_recall: float | None = None
    dense_probes: int | None = None
    hit_at_1: Annotated[float | None, Field(validation_alias=AliasChoices("hit_at_1", "hit@1"))] = None
    hit_at_5: Annotated[float | None, Field(validation_alias=AliasChoices("hit_at_5", "hit@5"))] = None
    mrr_at_10: Annotated[float | None, Field(validation_alias=AliasChoices("mrr_at_10", "mrr@10"))] = None


@dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """How sure the chatbot must be of an index, fitted on the team's own questions: by language, for this index alone (artifact id)."""

    KIND = "calibration"
    index: str
    languages: dict[str, Calibrated]


@dataclass(frozen=True)
class Way:
    """How a language is to be answered, and why, as a sentence. `utility` is of each way on as many `questions`; None where too few could be judged."""

    way: Answering
    questions: int
    because: str
    utility: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Ways(Record):
    """How each language is best answered by a release, measured: by language, of this release alone (artifact id)."""

    KIND = "answering"
    release: str
    languages: dict[str, Way]


@dataclass(frozen=True, kw_only=True)
class Evaluation(Record):
    """The models that were asked, by role; of the base its reference, of the others their artifact's id.

    Attributes:
        releases: ids of the releases that were asked as the chatbot, by role.
        chats: what the chatbot's answers depend on, by role: with the same, they are not asked for again.
        judge: how it went with the judge, as a sentence; "" without one.
    """

    KIND = "evaluation"
    models: dict[str, str]
    releases: dict[str, str] | None = None
    chats: dict[str, str] | None = None
    judge: str = ""


@dataclass(frozen=True, kw_only=True)
class Classifier(Record):
    """What the safety filters refuse with it, and the requests that it was trained on: by language those that are `harmful`, `harmless`, and of these
    the `look_alike`."""

    KIND = "classifier"
    refused: list[Refused] | None = None
    trained_on: dict[str, dict[str, int]] | None = None


@dataclass(frozen=True, kw_only=True)
class Release(Record):
    """The chatbot as people meet it; its id is the hash of this record, so the same content is the same release.

    Attributes:
        model: artifact id of the model that answers, "" where a server does; `precision` is what its weights are in.
        server: address of the server that answers, which calls its model `server_model`.
        templates: how a question is put with its context, by language.
        prompts: those of the library that templates were made of, but for the bundled `notes`; None where there are no others.
        chat: settings of generation, retrieval and costs. Like those of `tools` and `safety`, only what can change an answer.
        answering: by language.
        classifier: artifact id of the classifier of requests, "" where rules alone decide.
    """

    KIND = "release"
    model: str = ""
    precision: str = ""
    server: str = ""
    server_model: str = ""
    templates: dict[str, str]
    prompts: list[NamedPrompt] | None = None
    chat: dict[str, Any]
    answering: dict[str, Answering]
    tools: dict[str, Any]
    safety: dict[str, Any]
    classifier: str = ""

    def __post_init__(self) -> None:
        if bool(self.model) == bool(self.server):
            raise ValueError("a release names either a model or a server that answers")


@dataclass(frozen=True, kw_only=True)
class Studied(Record):
    """A study: its arms, the first of which the others are compared with, on so many items; the best one, why, and the command with which a release
    takes it up ("" where there is nothing to take up). The page is `report.html` in the artifact."""

    KIND = "study"
    study: str
    arms: list[str]
    items: int
    winner: str
    because: str
    adopting: str = ""


RECORDS: dict[str, type[Record]] = {
    record.KIND: record
    for record in (Dataset, Adapter, RewardModels, Model, Index, Calibration, Ways, Evaluation, Classifier, Release, Studied)
}
