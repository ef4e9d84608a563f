"""LoRA (Hu et al. 2021) settings that fit the architecture: module names differ between families."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import Linear, LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from tasks.errors import MigakiError
from tasks.models.families import LAYER_LISTS, family_of
from tasks.models.linear import PLAIN, applied, product
from tasks.models.trunk import causal_lm, layer_count


def target_modules(model: nn.Module, targets: str) -> list[str]:
    """Module names for `targets`: "attention" (query and value, or the fused projection), "all-linear", or names separated by commas.

    Raises:
        MigakiError: the model has no module of a given name.
    """
    config = causal_lm(model).config
    family = family_of(config)
    named = {"attention": list(family.attention), "all-linear": list(family.linear)}
    wanted = named.get(targets) or [name.strip() for name in targets.split(",")]
    present = {name.rsplit(".", 1)[-1] for name, _ in causal_lm(model).named_modules()}
    if missing := [name for name in wanted if name not in present]:
        raise MigakiError(
            f"LoRA targets {missing} are not in this {config.model_type} model; accepted: attention, all-linear, or some of {sorted(n for n in present if not n.isdigit() and n)}"
        )
    return wanted


def lora_config(
    model: nn.Module, rank: int, alpha: float, dropout: float = 0.0, from_layer: int = 0, targets: str = "attention"
) -> LoraConfig:
    """A LoRA configuration for the layers `from_layer` and above: W' = W + (alpha / rank) B A, with B starting at zero."""
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # a scale, whatever PEFT's hint says
        lora_dropout=dropout,
        target_modules=target_modules(model, targets),
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


def lora_layers(model: nn.Module) -> list[LoraLayer]:
    """The layers that have adapters on them."""
    return [layer for layer in model.modules() if isinstance(layer, LoraLayer)]


def save_adapter(model: PeftModel, name: str, folder: Path) -> None:
    """Write one adapter into a folder, and nothing of this machine with it. `name` is "default" or the adapter lands in a folder of its name."""
    model.peft_config[name].base_model_name_or_path = ""  # else the base's path on this machine
    # By default PEFT asks the model hub whether the embeddings were changed.
    model.save_pretrained(str(folder), selected_adapters=[name], save_embedding_layers=False)
    (folder / "README.md").unlink()  # PEFT's empty model card, which names that path too
