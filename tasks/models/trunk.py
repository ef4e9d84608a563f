"""Split a decoder into a frozen trunk (its lower layers) and a trainable top.

With adapters only in the upper layers, what the lower layers compute never changes: run them once per text, keep the states, and train
on those. The views made here share every weight with the model they come from, adapters that are injected later included. They work on
any architecture of transformers whose decoder is embeddings, a list of layers and a final norm (Llama, GPT-2, GPT-NeoX, Falcon, Gemma, ...).
"""

import copy

import torch
from torch import Tensor, nn

from tasks.errors import MigakiError

LAYER_LISTS = ("layers", "h")
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm")


class _NoPositions(nn.Module):
    """Stands in for GPT-2's position embeddings above the trunk, where they have been added already."""

    def forward(self, position_ids: Tensor) -> Tensor:
        return torch.zeros((), device=position_ids.device)


def causal_lm(model: nn.Module) -> nn.Module:
    """The transformers model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder(model: nn.Module) -> nn.Module:
    """The decoder without its head (`LlamaModel`, `GPT2Model`, ...)."""
    base = causal_lm(model)
    return getattr(base, base.base_model_prefix)


def lm_head(model: nn.Module) -> nn.Module:
    """The module that turns (..., H) final states into (..., V) logits."""
    return causal_lm(model).get_output_embeddings()


def _child(module: nn.Module, names: tuple[str, ...], what: str) -> str:
    for name in names:
        if hasattr(module, name):
            return name
    raise MigakiError(f"{type(module).__name__} has no {what} named one of {', '.join(names)}: this architecture is not supported")


def layers_of(model: nn.Module) -> nn.ModuleList:
    body = decoder(model)
    return getattr(body, _child(body, LAYER_LISTS, "list of layers"))


def layer_count(model: nn.Module) -> int:
    return len(layers_of(model))


def split_layer(model: nn.Module, top_fraction: float) -> int:
    """Index of the first layer of the top: 30 layers and a third give 20. At least one layer is top; 1.0 gives 0."""
    layers = layer_count(model)
    return layers - max(1, round(layers * top_fraction))


def _view(model: nn.Module, start: int, stop: int | None) -> nn.Module:
    """A decoder of the layers [start, stop) that shares its modules with `model`."""
    body = decoder(model)
    view = copy.copy(body)
    view._modules = dict(body._modules)
    layers = _child(body, LAYER_LISTS, "list of layers")
    setattr(view, layers, getattr(body, layers)[start:stop])
    view.config = copy.copy(body.config)
    if getattr(body.config, "layer_types", None):  # architectures that mix kinds of attention look the kind up by position
        view.config.layer_types = body.config.layer_types[start:stop]
    return view


def position_ids(attention_mask: Tensor) -> Tensor:
    """(B, T) mask of 0 and 1 to (B, T) positions that count real tokens only, whatever the side of the padding."""
    return (attention_mask.cumsum(-1) - 1).clamp(min=0)


@torch.no_grad()
def trunk_states(model: nn.Module, input_ids: Tensor, attention_mask: Tensor, k: int, positions: Tensor | None = None) -> Tensor:
    """Hidden states (B, T, H) that enter layer `k`, for ids (B, T) and a mask (B, T). k = 0 gives the embeddings.

    A mask (B, 1, T, T) to be added to attention scores comes with the `positions` (B, T) of the tokens.
    """
    view = _view(model, 0, k)
    setattr(view, _child(view, FINAL_NORMS, "final norm"), nn.Identity())
    positions = position_ids(attention_mask) if positions is None else positions
    return view(input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=False).last_hidden_state


class TopModel(nn.Module):
    """The layers from `k` on and the final norm: trunk states (B, T, H) in, final states (B, T, H) out. See `lm_head` for logits.

    With `stop`, the layers from `k` to before `stop` and no norm: states that enter `stop` out.
    """

    def __init__(self, model: nn.Module, k: int, stop: int | None = None):
        super().__init__()
        self.layers = _view(model, k, stop)
        if hasattr(self.layers, "wpe"):
            self.layers.wpe = _NoPositions()
        if stop is not None:
            setattr(self.layers, _child(self.layers, FINAL_NORMS, "final norm"), nn.Identity())

    def forward(self, hidden: Tensor, attention_mask: Tensor, positions: Tensor | None = None) -> Tensor:
        positions = position_ids(attention_mask) if positions is None else positions
        return self.layers(inputs_embeds=hidden, attention_mask=attention_mask, position_ids=positions, use_cache=False).last_hidden_state


def top_model(model: nn.Module, k: int, stop: int | None = None) -> TopModel:
    return TopModel(model, k, stop)
