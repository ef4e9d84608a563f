"""How much memory RLHF will take, worked out from the model's shapes before anything is loaded.

Weights, adapters and optimizers are there all the time; of sampling, scoring and learning, which follow each other, the largest counts.
What autograd keeps of a layer was measured on the Llama family; other families differ by some.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

from tasks.errors import MigakiError
from tasks.models.catalogue import lora_parameters
from tasks.models.families import family_of, key_value_width, layer_index
from tasks.models.likelihood import PART
from tasks.models.lora import target_modules
from tasks.models.trunk import causal_lm, hidden_size, layer_count, lm_head, split_layer
from tasks.rlhf.critic import learning_layers
from tasks.rlhf.settings import AlignSettings

MIB = 1024**2
PROGRAM = 500 * MIB  # Python with torch, transformers and peft imported, on a CPU; on a GPU it is not device memory
ALLOCATOR = 1.05  # what allocators keep beyond what was asked for
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # a weight, its block's 8-bit scale, and the scale of scales (Dettmers et al. 2023, section 3)
KEPT_HIDDEN, KEPT_WIDE = 11, 6  # numbers that a layer keeps of a token for its backward pass, in hidden and in feed-forward widths
SCORED_AT_ONCE = 256  # tokens whose logits exist together where no gradient is needed


@dataclass(frozen=True)
class Need:
    """Bytes by name: what is held all the time, and what each phase adds."""

    held: dict[str, float]
    phases: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def largest(self) -> str:
        return max(self.phases, key=lambda phase: sum(self.phases[phase].values()))

    @property
    def total(self) -> float:
        return ALLOCATOR * (sum(self.held.values()) + sum(self.phases[self.largest].values()))

    def arithmetic(self) -> str:
        """The sum in words, in MiB."""
        parts = {**self.held, **self.phases[self.largest]}
        return " + ".join(f"{name} {size / MIB:,.0f}" for name, size in parts.items() if size) + f", with slack {self.total / MIB:,.0f} MiB"


def model_of_shapes(folder: Path) -> PreTrainedModel:
    """The architecture in a folder without any weights."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    return model


def separate_bytes(folder: Path) -> int:
    """What the weights of a reward model of its own take, in float32."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def free_memory(device: str) -> int:
    """Bytes that this process may have in all: what it has, and what nobody else has."""
    if device == "cpu":
        return psutil.virtual_memory().available + psutil.Process().memory_info().rss
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)


def estimate(model: PreTrainedModel, settings: AlignSettings, prompt_tokens: int, device: str = "cpu", separate: int = 0) -> Need:
    """What `align` needs with these settings.

    Args:
        model: of `model_of_shapes`, or any with the same parameters.
        prompt_tokens: of the longest prompt.
        separate: bytes of a reward model of its own.
    """
    shapes = _Shapes(model)
    layers, layer = layer_count(model), split_layer(model, settings.reward_top_fraction)
    hidden, vocabulary = hidden_size(model), lm_head(model).weight.shape[0]
    width = 2 if settings.trunk == "bfloat16" or (settings.trunk == "nf4" and device != "cpu") else 4
    wide, tokens = shapes.widest, prompt_tokens + settings.answer_tokens
    policy, policy_bases = shapes.adapter(settings.lora_targets, settings.lora_r, layer)
    reward, _ = shapes.adapter(settings.reward_lora_targets, settings.reward_lora_r, layer)
    critic_layer = layers - learning_layers(layers, layers - layer, settings.critic_fraction)
    critic, _ = shapes.adapter(settings.reward_lora_targets, settings.reward_lora_r, critic_layer)
    states = 4 * settings.episodes * tokens * hidden
    micro = min(settings.micro_batch, -(-settings.episodes // settings.minibatches))
    held = {
        "program": PROGRAM if device == "cpu" else 0,
        "weights": shapes.weights(settings.trunk, width),
        "reward model of its own": separate,
        "adapters": 4 * (2 * policy + 3 * reward),  # policy and the best one so far; critic and both reward models
        "optimizers": 4 * 3 * (policy + critic),  # gradients and AdamW's two moments
        "states": states * (2 if critic_layer > layer else 1),
    }
    sampling: dict[str, float] = {
        "copy of the adapted weights": 0 if settings.trunk == "nf4" else width * policy_bases,
        "key-value cache": width * 2 * settings.episodes * tokens * layers * key_value_width(model.config),
        "logits of a step": 28 * settings.episodes * vocabulary,  # float32 three times, float64 twice
    }
    scoring: dict[str, float] = {
        "states of a pass": 4 * states,
        "activations": 4 * 3 * settings.episodes * tokens * wide,
        "logits": 4 * 4 * SCORED_AT_ONCE * vocabulary,
    }
    kept = width * (layers - layer) * (KEPT_HIDDEN * hidden + KEPT_WIDE * wide)  # bytes a token
    if width < 4:  # adapters are float32, and each keeps a copy of what enters it
        kept += 4 * max(shapes.inputs(settings.lora_targets, layer), shapes.inputs(settings.reward_lora_targets, critic_layer))
    learning: dict[str, float] = {
        "activations": kept * micro * tokens,
        "logits": 4 * 3 * min(PART, micro * settings.answer_tokens) * vocabulary,
    }
    return Need(held, {"sampling": sampling, "scoring": scoring, "learning": learning})


class _Shapes:
    """The matrices in a model's layers, by which everything is counted."""

    def __init__(self, model: PreTrainedModel):
        self.model = model
        weights = ((name, getattr(part, "weight", None)) for name, part in model.named_modules() if layer_index(name) is not None)
        self.shapes = {name: (weight.shape[0], weight.shape[1]) for name, weight in weights if weight is not None and weight.dim() == 2}

    @property
    def widest(self) -> int:
        return max(map(max, self.shapes.values()))

    def weights(self, trunk: str, width: int) -> float:
        """Bytes of all weights, those outside of NF4 `width` bytes each."""
        everything = sum(parameter.numel() for parameter in self.model.parameters())
        inside = sum(a * b for a, b in self.shapes.values())
        return inside * NF4_BYTES + (everything - inside) * width if trunk == "nf4" else everything * width

    def adapter(self, targets: str, rank: int, layer: int) -> tuple[int, int]:
        """(parameters of a LoRA adapter in the layers from `layer` on, parameters of the matrices it is put on)."""
        shapes = self._adapted(targets, layer)
        return lora_parameters(shapes, rank), sum(a * b for a, b in shapes)

    def inputs(self, targets: str, layer: int) -> int:
        """Numbers of a token that enter the layers an adapter is put on."""
        axis = 0 if family_of(causal_lm(self.model).config).fan_in_fan_out else 1
        return sum(shape[axis] for shape in self._adapted(targets, layer))

    def _adapted(self, targets: str, layer: int) -> list[tuple[int, int]]:
        names = target_modules(self.model, targets)
        return [shape for name, shape in self.shapes.items() if name.rsplit(".", 1)[-1] in names and (layer_index(name) or 0) >= layer]


# What makes a run smaller, in the order in which it costs least; each is a change of settings.
SMALLER: tuple[dict[str, Any], ...] = (
    {"micro_batch": 1},
    {"trunk": "bfloat16", "micro_batch": 1},
    {"trunk": "nf4", "micro_batch": 1},
    {"trunk": "nf4", "micro_batch": 1, "episodes": 4},
)


def require_memory(
    model: PreTrainedModel, settings: AlignSettings, prompt_tokens: int, free: int, device: str = "cpu", separate: int = 0
) -> Need:
    """The need, if it fits.

    Args:
        free: bytes that this process may take in all.

    Raises:
        MigakiError: it does not; with the arithmetic, and the settings that would make it fit.
    """
    need = estimate(model, settings, prompt_tokens, device, separate)
    if need.total <= free:
        return need
    for change in SMALLER:
        smaller = estimate(model, settings.model_copy(update=change), prompt_tokens, device, separate)
        if smaller.total <= free:
            way = " ".join(f"--set align.{name}={value}" for name, value in change.items())
            advice = f"{way} would bring it to {smaller.total / MIB:,.0f} MiB"
            break
    else:
        advice = "no setting of align makes it fit: take a smaller model or a larger machine"
    raise MigakiError(f"RLHF would need {need.arithmetic()}, at most while {need.largest}, but {free / MIB:,.0f} MiB are free; {advice}")
