"""The tuning methods: what each makes of a frozen model so that it can learn, how many parameters that are, and how it is kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import IA3Config, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.models import bottleneck
from tasks.models.batching import Example
from tasks.models.families import family_of, key_value_width, layer_index
from tasks.models.likelihood import CachedTrunk, FinalStates, whole_model
from tasks.models.lora import lora_config, save_adapter
from tasks.models.quantized import parameter_count, save_model
from tasks.models.soft_prompts import soft_prompt_states, with_soft_prompt
from tasks.models.trunk import causal_lm, hidden_size, layer_count, split_layer
from tasks.training.settings import Method, TrainingSettings, TuneSettings

LOW_RANK: tuple[Method, ...] = ("lora", "qlora")
SOFT_PROMPTS: tuple[Method, ...] = ("prompt", "prefix")
ADAPTER, MODEL = "adapter", "model"  # folders inside an artifact


@dataclass
class Trainable:
    """A model made ready for training: what is in `parameters` learns, from `layer` up; `total` are the parameters of the model before that."""

    model: nn.Module
    layer: int
    parameters: list[nn.Parameter]
    method: Method
    total: int

    @property
    def trained(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters)

    @property
    def share(self) -> str:
        """How many parameters learn, in words."""
        return share_of(self.trained, self.total)

    def final_states(self, examples: Sequence[Example], cache_mb: int) -> FinalStates:
        """From a batch of `examples` to its final states (B, T, H). What lies below the first trained layer is computed once per example."""
        if self.method in SOFT_PROMPTS:
            return soft_prompt_states(cast(PeftModel, self.model))
        return CachedTrunk(self.model, self.layer, examples, cache_mb << 20) if self.layer else whole_model(self.model)

    def train_mode(self) -> None:
        """Dropout on, of the adapters alone where there are some: the states of the frozen layers must be those that the model has in use."""
        for name, module in self.model.named_modules():
            module.training = self.method == "full" or ".lora_dropout" in name

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Into a folder of an artifact: the adapter, or the whole model."""
        if self.method == "full":
            save_model(causal_lm(self.model), tokenizer, folder / MODEL)
        elif isinstance(self.model, PeftModel):
            save_adapter(self.model, "default", folder / ADAPTER)
        else:
            bottleneck.save_bottlenecks(self.model, folder / ADAPTER)


def share_of(trained: int, total: int) -> str:
    """How many parameters learn, of how many, and the share in percent with two digits that say something: 0.24 %, 0.0086 %."""
    percent = 100 * trained / total
    digits = 2 if percent >= 0.1 else 1 - math.floor(math.log10(percent))
    return f"{trained:,} of {total:,} ({percent:.{digits}f} %)"


def make_trainable(model: nn.Module, settings: TrainingSettings) -> Trainable:
    """What `settings.method` adds, on top of the frozen model; or all of its weights. What is added starts from `settings.seed`.

    Args:
        model: for qlora open on an NF4 trunk (`tasks.models.unmerged`).

    Raises:
        MigakiError: the family cannot be tuned by this method, or not with these targets.
    """
    torch.manual_seed(settings.seed)
    total = parameter_count(model)
    if settings.method == "full":
        model.requires_grad_(True)
        return Trainable(model, 0, list(model.parameters()), settings.method, total)
    layer = first_layer(model, settings)
    if settings.method == "adapter":
        names = bottleneck.leaving_modules(model, layer)
        return Trainable(model, layer, bottleneck.attach(model, names, cast(TuneSettings, settings).adapter_size), settings.method, total)
    if settings.method in SOFT_PROMPTS:
        adapted = with_soft_prompt(model, settings.method, cast(TuneSettings, settings).virtual_tokens, settings.seed)
    else:
        config: Any = _ia3(model, layer) if settings.method == "ia3" else _low_rank(model, settings, layer)
        try:
            adapted = cast(PeftModel, get_peft_model(causal_lm(model), config).eval())
        except ValueError as error:
            family = causal_lm(model).config.model_type
            raise MigakiError(f"models of the family {family!r} cannot be tuned by tune.method = {settings.method}: {error}") from error
    return Trainable(adapted, layer, [p for p in adapted.parameters() if p.requires_grad], settings.method, total)


def reserved(settings: TrainingSettings) -> int:
    """Tokens of the context that virtual ones take."""
    return cast(TuneSettings, settings).virtual_tokens if settings.method in SOFT_PROMPTS else 0


def first_layer(model: nn.Module, settings: TrainingSettings) -> int:
    """The lowest layer that learns, or that virtual tokens reach."""
    whole = settings.method == "full" or settings.method in SOFT_PROMPTS
    return 0 if whole else split_layer(model, settings.learning_fraction)


def _low_rank(model: nn.Module, settings: TrainingSettings, layer: int) -> Any:
    config = lora_config(model, settings.lora_r, settings.lora_alpha, settings.lora_dropout, layer, settings.lora_targets)
    config.use_rslora, config.use_dora = settings.rslora, settings.dora
    return config


def _ia3(model: nn.Module, layer: int) -> IA3Config:
    """(IA)^3 (Liu et al. 2022): keys, values (queries too where the three are one module) and what enters the last feed-forward matrix are scaled.

    Raises:
        MigakiError: the layers have no such modules, as in mixtures of experts.
    """
    keys_values, inner = _scaled(model, layer)
    family = family_of(causal_lm(model).config)
    return IA3Config(
        task_type="CAUSAL_LM", target_modules=[*keys_values, *inner], feedforward_modules=inner, fan_in_fan_out=family.fan_in_fan_out
    )


def _scaled(model: nn.Module, layer: int) -> tuple[list[str], list[str]]:
    """Names of the modules whose outputs (keys and values) and whose inputs (of the last of the feed-forward part) ia3 scales."""
    base = causal_lm(model)
    family = family_of(base.config)
    keys_values, inner = (bottleneck.modules_named(base, names, layer) for names in (family.keys_values, family.leaving[1:]))
    wanted = layer_count(model) - layer
    if len(keys_values) != wanted * len(family.keys_values) or len(inner) != wanted:
        raise MigakiError(
            f"ia3 scales {', '.join(family.keys_values)} and {family.leaving[1]} of each layer, which this {base.config.model_type} model does not "
            "have: tune.method = ia3 is not possible with it; accepted are lora, qlora and full, as far as `migaki models --check` has nothing against them"
        )
    return keys_values, inner


def trained_parameters(model: nn.Module, settings: TrainingSettings) -> int:
    """How many parameters `make_trainable` would have learn, by shapes alone: the model is left as it is.

    Raises:
        MigakiError: as `make_trainable`.
    """
    layer, base = first_layer(model, settings), causal_lm(model)
    if settings.method == "full":
        return parameter_count(model)
    if settings.method in SOFT_PROMPTS:
        width = hidden_size(model) if settings.method == "prompt" else 2 * layer_count(model) * key_value_width(base.config)
        return cast(TuneSettings, settings).virtual_tokens * width
    if settings.method == "adapter":
        size, width = cast(TuneSettings, settings).adapter_size, hidden_size(model)
        return len(bottleneck.leaving_modules(model, layer)) * (2 * size * width + size + width)
    if settings.method == "ia3":
        keys_values, inner = _scaled(model, layer)
        return sum(_ends(base, name)[1] for name in keys_values) + sum(_ends(base, name)[0] for name in inner)
    names = set(_low_rank(model, settings, layer).target_modules)
    ends = [
        _ends(base, name)
        for name, _ in base.named_modules()
        if name.rpartition(".")[2] in names and ((at := layer_index(name)) is None or at >= layer)
    ]
    return sum(settings.lora_r * (into + out) + settings.dora * out for into, out in ends)


def _ends(model: nn.Module, name: str) -> tuple[int, int]:
    """How many numbers enter and leave a matrix."""
    module: Any = model.get_submodule(name)
    if hasattr(module, "in_features"):
        return module.in_features, module.out_features
    rows, columns = module.weight.shape  # Conv1D and embeddings: (in, out)
    return rows, columns
