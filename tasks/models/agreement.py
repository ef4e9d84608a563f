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


@dataclass(frozen=True)
class Agreement:
    """How far the two are apart.

    Attributes:
        distance: the largest difference of log-probabilities (nats) over all tokens of the vocabulary, positions, and cuts that were tried.
        layer: the first layer whose entering states differ by more than `TOLERANCE` of the largest of them; the number of layers where
            only what comes after the last (norm and head) differs; None where nothing does.
    """

    distance: float
    layer: int | None

    @property
    def holds(self) -> bool:
        """In float32: fewer bits round by more."""
        return self.distance <= TOLERANCE


@torch.no_grad()
def agreement(model: nn.Module, ids: Sequence[int]) -> Agreement:
    """Hold Migaki's own path against `model(input_ids).logits`, cut before the first layer, in the middle, and before the last.

    Args:
        model: a causal language model, with adapters or without, that is not in training: dropout would differ.
        ids: a short sequence; several tokens, since positions count.

    Raises:
        MigakiError: the architecture cannot be cut, or does something with its embeddings or logits that is not known.
    """
    tokens = torch.tensor([list(ids)], device=causal_lm(model).device)
    with _entering(model) as wanted:
        logits = causal_lm(model)(input_ids=tokens, use_cache=False).logits
    layers = layer_count(model)
    found = [_of_cut(model, tokens, k, wanted, _logprobs(logits)) for k in sorted({0, layers // 2, layers - 1})]
    differing = [one.layer for one in found if one.layer is not None]
    return Agreement(max(one.distance for one in found), min(differing, default=None))


def _of_cut(model: nn.Module, tokens: Tensor, k: int, wanted: dict[int, Tensor], logprobs: Tensor) -> Agreement:
    """The agreement of a model cut before layer `k` with the states (T, H) by layer and the log-probabilities (T, V) of the whole one."""
    with _entering(model) as entering:
        own = _own_logprobs(model, tokens, k)
    distance = float((own - logprobs).abs().max())
    differing = (layer for layer in sorted(wanted) if _differ(entering[layer], wanted[layer]))
    after = len(wanted) if not distance <= TOLERANCE else None  # so put, numbers that are none count as differing
    return Agreement(distance, next(differing, after))


def _own_logprobs(model: nn.Module, tokens: Tensor, k: int) -> Tensor:
    """(T, V). A family that was not written to be cut says so in whatever way its code fails."""
    mask = torch.ones_like(tokens)
    try:
        return _logprobs(lm_head(model)(TopModel(model, k)(trunk_states(model, tokens, mask, k), mask)))
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as cause:
        raise MigakiError(
            f"models of the family {causal_lm(model).config.model_type!r} cannot be run in parts ({type(cause).__name__}: {cause}): this architecture is not supported"
        ) from cause


def _differ(states: Tensor, others: Tensor) -> bool:
    return not float((states - others).abs().max()) <= TOLERANCE * max(1.0, float(others.abs().max()))


def _logprobs(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits[0].float(), dim=-1)


@contextmanager
def _entering(model: nn.Module) -> Iterator[dict[int, Tensor]]:
    """Inside, what enters each layer (T, H) is noted by the layer's number, of the only row."""
    states: dict[int, Tensor] = {}

    def note(layer: int) -> Any:
        def hook(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            states[layer] = (arguments[0] if arguments else named["hidden_states"])[0].float()

        return hook

    hooks = [layer.register_forward_pre_hook(note(i), with_kwargs=True) for i, layer in enumerate(layers_of(model))]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
