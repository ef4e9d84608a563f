"""LoRA (Hu et al. 2021) settings that fit the architecture: module names differ between families."""

import re
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import Linear, LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tasks.errors import MigakiError
from tasks.models.families import LAYER_LISTS, family_of, layer_index
from tasks.models.linear import PLAIN, applied, product
from tasks.models.trunk import causal_lm, layer_count

LINEAR, ADAPTABLE = (
    (nn.Linear, Conv1D, LoraLayer),
    (nn.Linear, Conv1D, nn.Embedding, LoraLayer),
)  # what adapters go on; the latter have one already
ATTENTION = re.compile(r"\.[^.]*attn[^.]*\.|\.[^.]*attention[^.]*\.")
ROUTER = re.compile(r"router|^gate$|expert_gate$")


def target_modules(model: nn.Module, targets: str) -> list[str]:
    """Module names for `targets`: "attention" (query and value, or the fused projection), "all-linear", or names separated by commas.

    A family that names its modules otherwise than `tasks.models.families` has it gets all linear modules that its layers have, or those of its
    attention: in mixtures of experts these are all but the experts, which are no linear modules in transformers, and what chooses them.

    Raises:
        MigakiError: the model has no module of a given name that an adapter can go on, or one could not be merged there.
    """
    config = causal_lm(model).config
    family = family_of(config)
    named = {"attention": list(family.attention), "all-linear": list(family.linear)}
    wanted = named.get(targets) or [name.strip() for name in targets.split(",")]
    present = {_leaf(name) for name, module in causal_lm(model).named_modules() if isinstance(module, ADAPTABLE)}
    missing = [name for name in wanted if name not in present]
    if missing and targets in named and (found := _linear_modules(model, only_attention=targets == "attention")):
        return found
    if missing:
        aliases = [alias for alias in named if alias != targets]
        raise MigakiError(
            f"LoRA targets {missing} are not in this {config.model_type} model; accepted: {', '.join([*aliases, f'or some of {sorted(present)}'])}"
        )
    if is_tied(model) and (tied := sorted(_embeddings(model) & set(wanted))):
        raise MigakiError(
            f"LoRA targets {tied}: this {config.model_type} model reads and predicts by one matrix (tied embeddings), and an adapter on one side, once "
            f"merged, would change the other too; accepted: attention, all-linear, or some of {sorted(present - _embeddings(model))}"
        )
    return wanted


def is_tied(model: nn.Module) -> bool:
    """Whether input and output embeddings are one matrix."""
    entering, leaving = _embedding_layers(model)
    return leaving is not None and entering.weight is leaving.weight


def expert_parameters(model: nn.Module) -> int:
    """Parameters of experts: stacked matrices (experts, out, in), which adapters do not go on."""
    layers = (module for name, module in causal_lm(model).named_modules() if layer_index(name) is not None)
    return sum(p.numel() for layer in layers if not isinstance(layer, nn.Conv1d) for p in layer.parameters(recurse=False) if p.dim() == 3)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _linear_modules(model: nn.Module, only_attention: bool) -> list[str]:
    """Names of the linear modules in the layers, in their order, less what routes tokens to experts."""
    linear = [name for name, module in causal_lm(model).named_modules() if layer_index(name) is not None and isinstance(module, LINEAR)]
    elsewhere = {_leaf(name) for name in linear if not ATTENTION.search(name)} if only_attention else set()  # c_proj is in both
    kept = [name for name in linear if not ROUTER.search(_leaf(name)) and _leaf(name) not in elsewhere]
    return list(dict.fromkeys(map(_leaf, kept)))


def _embedding_layers(model: nn.Module) -> tuple[Any, Any]:
    """What tokens enter by, and what predicts them, without adapters."""
    base = causal_lm(model)
    layers = (base.get_input_embeddings(), base.get_output_embeddings())
    entering, leaving = (layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer for layer in layers)
    return entering, leaving


def _entering_names(model: nn.Module) -> set[str]:
    """Names of what embeds tokens and positions."""
    return {_leaf(name) for name, module in causal_lm(model).named_modules() if isinstance(module, nn.Embedding)}


def _embeddings(model: nn.Module) -> set[str]:
    """The names of input and output embeddings."""
    layers = _embedding_layers(model)
    return {
        _leaf(name.removesuffix(".base_layer"))
        for name, module in causal_lm(model).named_modules()
        if any(module is layer for layer in layers)
    }


def lora_config(
    model: nn.Module, rank: int, alpha: float, dropout: float = 0.0, from_layer: int = 0, targets: str = "attention"
) -> LoraConfig:
    """A LoRA configuration for the layers `from_layer` and above: W' = W + (alpha / rank) B A, with B starting at zero.

    Raises:
        MigakiError: targets that are not there, cannot be merged, or lie below `from_layer`; says what would work.
    """
    wanted = target_modules(model, targets)
    if from_layer and (below := [name for name in wanted if name in _entering_names(model)]):
        raise MigakiError(
            f"LoRA targets {below} are below layer {from_layer}, from which on this model is trained (top_fraction); accepted: top_fraction = 1, "
            "or targets without them"
        )
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # a scale, whatever PEFT's hint says
        lora_dropout=dropout,
        target_modules=wanted,
        layers_to_transform=None if from_layer == 0 else list(range(from_layer, layer_count(model))),
        layers_pattern=None if from_layer == 0 else list(LAYER_LISTS),
        fan_in_fan_out=family_of(causal_lm(model).config).fan_in_fan_out,
    )
    config._register_custom_module({nn.Linear: _fused_or_none})  # type: ignore[dict-item]  # it calls what it is given, which need not be a class
    return config


class _Fused(torch.autograd.Function):
    """x W' + b + scaling (x A') B' for a frozen W: PEFT's sum in the matrix products themselves, without a pass for the product and one for the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ a.T
        ctx.save_for_backward(rows, inner, weight, a, b)
        ctx.scaling, ctx.shape = scaling, x.shape
        out = product(x, weight, bias)
        out.view(-1, out.shape[-1]).addmm_(inner, b.T, alpha=scaling)
        return out  # not a view, since some families add to the result in place

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, inner, weight, a, b = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        of_inner = (gradient @ b) * ctx.scaling
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = product(gradient, weight.t()).addmm_(of_inner, a).view(*ctx.shape)
        return of_x, None, None, of_inner.T @ rows, (gradient.T @ inner) * ctx.scaling, None


class FusedLinear(Linear):
    """PEFT's LoRA layer with one product less to write down and add, wherever a single plain adapter acts on a frozen layer."""

    def forward(self, x: Tensor, *arguments: object, **named: object) -> Tensor:
        base, active = self.base_layer, self.active_adapters
        name: str = active[0] if len(active) == 1 else ""
        plain = name in self.lora_A and name not in self.lora_variant and isinstance(self.lora_dropout[name], nn.Identity)
        if self.disable_adapters or self.merged or not plain or arguments or named or base.weight.requires_grad:
            return super().forward(x, *arguments, **named)
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        if not x.dtype == a.dtype == base.weight.dtype or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        return applied(_Fused, x, base.weight, base.bias, a, b, self.scaling[name])


def _fused_or_none(target: nn.Module, adapter_name: str, config: LoraConfig, **named: Any) -> FusedLinear | None:
    """For PEFT's choice of a layer: None leaves all that is not a plain linear layer (quantized ones are of subclasses) to PEFT."""
    base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
    return FusedLinear(target, adapter_name, config=config, **named) if type(base) in PLAIN else None


def adapted_modules(model: nn.Module) -> list[str]:
    """The names of the modules that have adapters on them, in their order, each as its layer calls it."""
    return list(dict.fromkeys(_leaf(name) for name, module in model.named_modules() if isinstance(module, LoraLayer)))


def lora_layers(model: nn.Module) -> list[LoraLayer]:
    """The layers that have adapters on them."""
    return [layer for layer in model.modules() if isinstance(layer, LoraLayer)]


def save_adapter(model: PeftModel, name: str, folder: Path) -> None:
    """Write one adapter into a folder, and nothing of this machine with it. `name` is "default" or the adapter lands in a folder of its name."""
    model.peft_config[name].base_model_name_or_path = ""  # else the base's path on this machine
    # By default PEFT asks the model hub whether the embeddings were changed.
    model.save_pretrained(str(folder), selected_adapters=[name], save_embedding_layers=False)
    (folder / "README.md").unlink()  # PEFT's empty model card, which names that path too
