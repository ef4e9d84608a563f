"""How much memory work on a model takes, by the model's shapes, before anything is loaded.

What autograd keeps of a layer was measured on the Llama family; other families differ by some.
"""

from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tasks.models.catalogue import lora_parameters
from tasks.models.families import family_of, layer_index
from tasks.models.lora import target_modules
from tasks.models.quantized import parameter_count
from tasks.models.trunk import causal_lm

MIB = 1024**2
PROGRAM = 500 * MIB  # Python with torch, transformers and peft imported, on a CPU; on a GPU it is not device memory
ALLOCATOR = 1.05  # what allocators keep beyond what was asked for
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # a weight, its block's 8-bit scale, and the scale of scales (Dettmers et al. 2023, section 3)
KEPT_HIDDEN, KEPT_WIDE = 11, 6  # numbers that a layer keeps of a token for its backward pass, in hidden and in feed-forward widths


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


def free_memory(device: str) -> int:
    """Bytes that this process may have in all: what it has, and what nobody else has."""
    if device == "cpu":
        available: int = psutil.virtual_memory().available
        return available + int(psutil.Process().memory_info().rss)
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)


class Shapes:
    """The matrices in a model's layers, by which everything is counted."""

    def __init__(self, model: PreTrainedModel):
        self.model = model
        weights = ((name, part, getattr(part, "weight", None)) for name, part in model.named_modules() if layer_index(name) is not None)
        self.shapes: dict[str, tuple[int, int]] = {  # 4-bit weights are packed: their layers say what they stand for
            name: (getattr(part, "out_features", weight.shape[0]), getattr(part, "in_features", weight.shape[1]))
            for name, part, weight in weights
            if weight is not None and weight.dim() == 2
        }

    @property
    def widest(self) -> int:
        return max(max(shape) for shape in self.shapes.values())

    def weights(self, trunk: str, width: int) -> float:
        """Bytes of all weights, those outside of NF4 `width` bytes each."""
        everything = parameter_count(self.model)
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
