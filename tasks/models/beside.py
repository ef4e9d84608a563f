"""Adapters that are no change of weights: carried beside the trunk, in a folder of their own inside the model's."""

import shutil
from pathlib import Path

from transformers import PreTrainedModel

from tasks.errors import MigakiError
from tasks.models import bottleneck
from tasks.models.folders import BESIDE, refuse_unsafe
from tasks.models.soft_prompts import KINDS, kind_of, put_soft_prompt
from tasks.models.virtual_tokens import has_virtual_tokens, take_away

METHODS = KINDS | {bottleneck.KIND: "adapter"}  # by kind, the `tune.method` that leaves an adapter which no weights can hold


def stays_beside(adapter: Path) -> bool:
    """Whether the adapter in this folder cannot be merged."""
    return kind_of(adapter) in METHODS


def method_of(adapter: Path) -> str:
    """The `tune.method` that left an adapter which cannot be merged."""
    return METHODS[kind_of(adapter)]


def carried(model: Path) -> Path | None:
    """The adapter that a model's folder carries beside its weights."""
    return model / BESIDE if (model / BESIDE).is_dir() else None


def require_mergeable(adapter: Path) -> None:
    """
    Raises:
        MigakiError: the adapter in this folder is no change of weights, or may hold code.
    """
    refuse_unsafe(adapter)
    if stays_beside(adapter):
        raise MigakiError(
            f"what tune.method = {method_of(adapter)} left cannot be merged into the weights, and this needs a merged model; accepted are models tuned by "
            "lora, qlora, ia3 or full"
        )


def put_beside(model: PreTrainedModel, adapter: Path) -> None:
    """Let a model compute with such an adapter, in place, whichever of its layers or forwards is called.

    Raises:
        MigakiError: the adapter is of a model of other modules, or may hold code.
    """
    refuse_unsafe(adapter)
    if kind_of(adapter) in KINDS:
        put_soft_prompt(model, adapter)
    else:
        bottleneck.load_bottlenecks(model, adapter)
    model.eval().requires_grad_(False)


def take_off(model: PreTrainedModel) -> None:
    """Undo `put_beside`, in place."""
    bottleneck.remove_bottlenecks(model)
    if has_virtual_tokens(model):
        take_away(model)


def copy_beside(adapter: Path, model: Path) -> None:
    """Put an adapter into a model's folder."""
    shutil.copytree(adapter, model / BESIDE)
