"""Whether Migaki's own path through a model (trunk, top, head) computes what the model itself does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tasks.errors import MigakiError
from tasks.models.trunk import TopModel, causal_lm, layer_count, layers_of, lm_head, trunk_states

TOLERANCE = 1e-4  # what rounding explains in float32: nats, and parts of the largest number among a layer's states
Noted = dict[int, list[Tensor]]  # by layer, what entered it in each pass (B, T, H)


@dataclass(frozen=True)
class Agreement:
    """How far two ways through a model are apart.

    Attributes:
        distance: the largest difference of log-probabilities (nats) over all tokens of the vocabulary and all positions that were compared.
        layer: the first layer whose entering states differ by more than the tolerance, in parts of the largest of them; the number of layers
            where only what comes after the last (norm and head) differs; None where nothing does.
    """

    distance: float
    layer: int | None

    @property
    def holds(self) -> bool:
        """In float32: fewer bits round by more."""
        return self.distance <= TOLERANCE


@dataclass(frozen=True)
class Forward:
    """What came of a row of T tokens: log-probabilities (T, V) in float32, and by its number what entered each layer (T, H)."""

    logprobs: Tensor
    entering: dict[int, Tensor]

    def against(self, wanted: "Forward", tolerance: float = TOLERANCE) -> Agreement:
        """The agreement with another way. Of log-probabilities the last are compared, as many as there are here."""
        distance = float((self.logprobs - wanted.logprobs[-len(self.logprobs) :].to(self.logprobs.device)).abs().max())
        differing = (layer for layer in sorted(wanted.entering) if _differ(self.entering[layer], wanted.entering[layer], tolerance))
        after = len(wanted.entering) if not distance <= tolerance else None  # so put, numbers that are none count as differing
        return Agreement(distance, next(differing, after))


def worst(found: Sequence[Agreement]) -> Agreement:
    """The largest distance among several, and the first layer at which one of them begins to differ."""
    distances = [one.distance for one in found]
    distance = next((one for one in distances if one != one), max(distances))  # one that is no number is larger than any
    return Agreement(distance, min((one.layer for one in found if one.layer is not None), default=None))


@torch.no_grad()
def agreement(model: nn.Module, ids: Sequence[int], tolerance: float = TOLERANCE, wanted: Forward | None = None) -> Agreement:
    """Hold Migaki's own path against `model(input_ids).logits`, cut before the first layer, in the middle, and before the last.

    Args:
        model: a causal language model, with adapters or without, that is not in training: dropout would differ.
        ids: a short sequence; several tokens, since positions count.
        tolerance: what rounding explains in the model's precision, for the layer; see `Agreement`.
        wanted: of `model_forward`, where it is there already.

    Raises:
        MigakiError: the architecture cannot be cut, or does something with its embeddings or logits that is not known.
    """
    wanted, layers = wanted or model_forward(model, ids), layer_count(model)
    return worst([_cut_forward(model, ids, k).against(wanted, tolerance) for k in sorted({0, layers // 2, layers - 1})])


@torch.no_grad()
def model_forward(model: nn.Module, ids: Sequence[int]) -> Forward:
    """What the model's own forward makes of a row."""
    with noted(model) as entering:
        logits = causal_lm(model)(input_ids=_row(model, ids), use_cache=False).logits
    return Forward(logprobs_of(logits[0]), row_of(entering, 0, len(ids)))


def _cut_forward(model: nn.Module, ids: Sequence[int], k: int) -> Forward:
    """What the model cut before layer `k` makes of a row. A family that was not written to be cut says so in whatever way its code fails."""
    tokens = _row(model, ids)
    mask = torch.ones_like(tokens)
    try:
        with noted(model) as entering:
            logits = lm_head(model)(TopModel(model, k)(trunk_states(model, tokens, mask, k), mask))
        return Forward(logprobs_of(logits[0]), row_of(entering, 0, len(ids)))
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as cause:
        raise MigakiError(
            f"models of the family {causal_lm(model).config.model_type!r} cannot be run in parts ({type(cause).__name__}: {cause}): this architecture is not supported"
        ) from cause


def _row(model: nn.Module, ids: Sequence[int]) -> Tensor:
    return torch.tensor([list(ids)], device=causal_lm(model).device)


def _differ(states: Tensor, others: Tensor, tolerance: float) -> bool:
    others = others.to(states.device)
    return not float((states - others).abs().max()) <= tolerance * max(1.0, float(others.abs().max()))


def logprobs_of(logits: Tensor) -> Tensor:
    """(..., V) in float32."""
    return torch.log_softmax(logits.float(), dim=-1)


@contextmanager
def noted(model: nn.Module) -> Iterator[Noted]:
    """Inside, what enters each layer is noted by the layer's number, pass by pass."""
    states: Noted = {}

    def note(layer: int) -> Any:
        def hook(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            states.setdefault(layer, []).append((arguments[0] if arguments else named["hidden_states"]).float())

        return hook

    hooks = [layer.register_forward_pre_hook(note(i), with_kwargs=True) for i, layer in enumerate(layers_of(model))]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def row_of(entering: Noted, row: int, length: int) -> dict[int, Tensor]:
    """By layer, the states (T, H) of one row's last `length` tokens, over all passes."""
    return {layer: torch.cat([states[row] for states in parts])[-length:] for layer, parts in entering.items()}
