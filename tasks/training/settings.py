"""Settings of the stages tune and pretrain."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.settings import StageSettings

Method = Literal["lora", "full", "qlora", "adapter", "prompt", "prefix", "ia3"]
# Peaks, by a sweep on training rows that were left out (benchmarks/learning_rates.py, figures in benchmarks/README.md).
LEARNING_RATES: dict[Method, float] = {
    "lora": 1e-3,
    "full": 1e-4,
    "qlora": 2e-3,
    "adapter": 3e-3,
    "prompt": 1e-2,
    "prefix": 3e-2,
    "ia3": 3e-2,
}
UNMERGEABLE: tuple[Method, ...] = ("adapter", "prompt", "prefix")  # change what a model computes beyond what its weights can hold


class TrainingSettings(StageSettings):
    """What both kinds of training share."""

    method: Method = Field(
        "lora",
        description="What is trained: low-rank updates (lora; qlora on a 4-bit trunk), all weights (full), bottlenecks in each layer (adapter), "
        "virtual tokens before the text (prompt) or in each layer's cache (prefix), or scales (ia3)",
    )
    top_fraction: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="LoRA, adapter and ia3: share of the layers, from the top, that learn; the layers below are run once per text. Empty takes a third, "
        "and of qlora all",
    )
    lora_r: int = Field(16, ge=1, le=1024, description="LoRA: rank")
    lora_alpha: float = Field(32, gt=0, description="LoRA: scale; the update is (alpha / r) B A")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="LoRA: dropout before A while training")
    lora_targets: str = Field("all-linear", description="LoRA: attention, all-linear, or module names separated by commas")
    rslora: bool = Field(False, description="LoRA: rank-stabilised scale, the update is (alpha / sqrt(r)) B A")
    dora: bool = Field(False, description="LoRA: weight-decomposed (DoRA), a magnitude for each output is learnt beside the direction")
    epochs: float = Field(3.0, gt=0, description="Passes over the rows")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Peak learning rate of AdamW; empty takes the method's own"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="How the learning rate falls after the warm-up")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay of matrices")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    batch_size: int = Field(8, ge=1, description="Rows of an optimizer step")
    micro_batch: int = Field(4, ge=1, description="Rows that are in memory at once; the result does not depend on it")
    seed: int = Field(0, ge=0, description="Seed of the order of the rows, of the adapters and of dropout")
    cache_mb: int = Field(
        1024,
        ge=0,
        description="Memory for the states of the layers below those that learn, MB; when they need more they are computed each time",
    )

    @property
    def peak_learning_rate(self) -> float:
        """What was said, or the method's own."""
        return self.learning_rate or LEARNING_RATES[self.method]

    @property
    def learning_fraction(self) -> float:
        """The share of the layers that learn: what was said, or the method's own. Of qlora all layers, as what 4 bits lose they lose in each (Dettmers et
        al. 2023, section 4)."""
        return self.top_fraction or (1.0 if self.method == "qlora" else 1 / 3)


class TuneSettings(TrainingSettings):
    """Instruction tuning."""

    adapter_size: int = Field(64, ge=1, le=4096, description="adapter: width of the bottleneck")
    virtual_tokens: int = Field(20, ge=1, le=512, description="prompt and prefix: how many virtual tokens; the context is shorter by them")
    max_tokens: Annotated[int, Field(ge=8)] | Literal["auto"] = Field(
        "auto",
        description="Longest row in tokens; auto: the longest row there is, as far as the model's context and the memory reach",
    )
    cuts: Literal["end", "start"] = Field(
        "end",
        description="What a longer row loses: the end of its answers, or its oldest turns (start), then the end; a row without an answer left is left out",
    )
    learn: Literal["all", "last"] = Field("all", description="Which answers of a conversation are learnt")
    template: Literal["alpaca", "vicuna", "chatml"] = Field("alpaca", description="Chat template of a model that has none of its own")
    thinking: bool = Field(False, description="Whether answers begin with thoughts, where the model's template can have them")
    max_rows: int = Field(0, ge=0, description="At most so many rows, languages in balance; 0 takes all")

    QUICK: ClassVar[dict[str, Any]] = {"epochs": 1.5, "micro_batch": 8, "max_tokens": 160, "max_rows": 240}


class PretrainSettings(TrainingSettings):
    """Continued pre-training on raw text."""

    method: Literal["lora", "full"] = Field("lora", description="lora trains adapters, full trains all weights")
    epochs: float = Field(1.0, gt=0, description="Passes over the text")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-4, description="Peak learning rate of AdamW")
    batch_size: int = Field(4, ge=1, description="Blocks of an optimizer step")
    micro_batch: int = Field(2, ge=1, description="Blocks that are in memory at once; the result does not depend on it")
    block_tokens: int = Field(512, ge=16, description="Tokens of a packed block")
    max_blocks: int = Field(0, ge=0, description="At most so many blocks, languages in balance; 0 takes all")
    max_eval_blocks: int = Field(
        32, ge=1, description="At most so many blocks of held-out text, languages in balance, to measure perplexity on"
    )

    QUICK: ClassVar[dict[str, Any]] = {"max_blocks": 48, "block_tokens": 256, "max_eval_blocks": 8}
