"""Bottleneck adapters (Houlsby et al. 2019): after attention and after the feed-forward part of a layer, before what each adds to the residual stream.

PEFT has none. Differs from the paper: the layer norms are not trained, the way up starts at zero (not near it), so that a fresh adapter changes
nothing, and the layers below `from_layer` have none.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tasks.errors import MigakiError
from tasks.models.families import family_of, layer_index
from tasks.models.trunk import causal_lm, hidden_size

KIND = "BOTTLENECK"  # beside PEFT's own kinds, in a file of the same name
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
STD = 1e-2  # of the weights on the way down (section 2.1)


class Bottleneck(nn.Module):
    """A module whose output y (..., H) becomes y + W_up gelu(W_down y), through `size` numbers."""

    def __init__(self, base: nn.Module, width: int, size: int):
        super().__init__()
        weight: Any = base.weight
        self.base = base
        self.down = nn.Linear(width, size, device=weight.device)
        self.up = nn.Linear(size, width, device=weight.device)
        nn.init.normal_(self.down.weight, std=STD)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x)
        inner = nn.functional.gelu(self.down(out.to(self.down.weight.dtype)))
        changed: Tensor = out + self.up(inner).to(out.dtype)
        return changed


def leaving_modules(model: nn.Module, from_layer: int) -> list[str]:
    """Names of what ends attention and feed-forward in the layers from `from_layer` on.

    Raises:
        MigakiError: a layer has not both, as in mixtures of experts.
    """
    base = causal_lm(model)
    wanted = family_of(base.config).leaving
    found = modules_named(base, wanted, from_layer)
    layers = {layer_index(name) for name in found}
    if not found or len(found) != 2 * len(layers):
        raise MigakiError(
            f"bottleneck adapters go after {' and '.join(wanted)} of each layer, which this {base.config.model_type} model does not have: "
            "tune.method = adapter is not possible with it; accepted are lora, qlora and full, as far as `migaki models --check` has nothing against them"
        )
    return found


def modules_named(model: nn.Module, wanted: tuple[str, ...], from_layer: int) -> list[str]:
    """Full names of the modules in the layers from `from_layer` on whose names end in one of `wanted`."""
    names = (name for name, _ in model.named_modules() if (layer_index(name) or 0) >= from_layer and layer_index(name) is not None)
    return [name for name in names if name.endswith(tuple(f".{one}" for one in wanted))]


def attach(model: nn.Module, names: list[str], size: int) -> list[nn.Parameter]:
    """Put a bottleneck after each of the modules, in place; its parameters."""
    width, added = hidden_size(model), []
    for name in names:
        parent, _, leaf = name.rpartition(".")
        adapter = Bottleneck(model.get_submodule(name), width, size)
        setattr(model.get_submodule(parent), leaf, adapter)
        added += [*adapter.down.parameters(), *adapter.up.parameters()]
    return added


def remove_bottlenecks(model: nn.Module) -> None:
    """Leave the modules alone that have a bottleneck behind them, in place."""
    for name, adapter in bottlenecks(model).items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, adapter.base)


def bottlenecks(model: nn.Module) -> dict[str, Bottleneck]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Bottleneck)}


def save_bottlenecks(model: nn.Module, folder: Path) -> None:
    """The adapters alone, and where they go."""
    folder.mkdir()
    own = bottlenecks(model)
    size = next(iter(own.values())).up.in_features
    (folder / CONFIG).write_text(json.dumps({"peft_type": KIND, "size": size, "modules": list(own)}, indent=1), encoding="utf-8")
    save_file(
        {
            f"{name}.{key}": value.contiguous()
            for name, module in own.items()
            for key, value in module.state_dict().items()
            if "base." not in key
        },
        folder / WEIGHTS,
    )


@torch.no_grad()
def load_bottlenecks(model: nn.Module, folder: Path) -> None:
    """Put the adapters of a folder into a model, in place.

    Raises:
        MigakiError: they belong to a model of other modules.
    """
    about, state = json.loads((folder / CONFIG).read_text(encoding="utf-8")), load_file(folder / WEIGHTS)
    try:
        attach(model, about["modules"], about["size"])
        for name, module in bottlenecks(model).items():
            for part in ("down", "up"):
                layer = getattr(module, part)
                layer.weight.copy_(state[f"{name}.{part}.weight"])
                layer.bias.copy_(state[f"{name}.{part}.bias"])
    except (AttributeError, KeyError, RuntimeError) as error:
        raise MigakiError(
            f"the bottleneck adapters in {folder.name!r} do not fit this {causal_lm(model).config.model_type} model: {error}"
        ) from error
