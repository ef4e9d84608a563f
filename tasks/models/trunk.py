"""Split a decoder into a frozen trunk (its lower layers) and a trainable top.

With adapters only in the upper layers, what the lower layers compute never changes: run them once per text, keep the states, and train
on those. The views made here share every weight with the model they come from, adapters that are injected later included. They work on
any architecture of transformers whose decoder is embeddings, a list of layers and a final norm (Llama, GPT-2, GPT-NeoX, Falcon, Gemma, ...).
"""

import copy
from typing import cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.errors import MigakiError
from tasks.models.families import (
    config_of_layers,
    final_norm_name,
    head_scale,
    layer_list_name,
    require_known_embeddings,
    require_one_width,
    without_embedding,
)
from tasks.models.head import Head


def causal_lm(model: nn.Module) -> PreTrainedModel:
    """The transformers model inside a PEFT wrapper, or the model itself."""
    return cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)


def decoder(model: nn.Module) -> PreTrainedModel:
    """The decoder without its head (`LlamaModel`, `GPT2Model`, ...).

    Raises:
        MigakiError: the model says that it has none.
    """
    base = causal_lm(model)
    body: PreTrainedModel | None = getattr(base, base.base_model_prefix, None)
    if body is None:
        raise MigakiError(f"{type(base).__name__} has no decoder named {base.base_model_prefix!r}: this architecture is not supported")
    inner = getattr(body, "decoder", None)  # OPT's body is a decoder in a shell
    return inner if isinstance(inner, PreTrainedModel) else body


def lm_head(model: nn.Module) -> Head:
    """What turns (..., H) final states into (..., V) logits, as the model itself does.

    Raises:
        MigakiError: the configuration asks for something that is not known of this family.
    """
    base = causal_lm(model)
    return Head(base.get_output_embeddings(), head_scale(base.config))


def input_embeddings(model: nn.Module) -> nn.Embedding:
    return cast(nn.Embedding, causal_lm(model).get_input_embeddings())


def hidden_size(model: nn.Module) -> int:
    """The width of embeddings and states."""
    return input_embeddings(model).weight.shape[1]


def layers_of(model: nn.Module) -> nn.ModuleList:
    body = decoder(model)
    layers: nn.ModuleList = getattr(body, layer_list_name(body))
    return layers


def layer_count(model: nn.Module) -> int:
    return len(layers_of(model))


def split_layer(model: nn.Module, top_fraction: float) -> int:
    """Index of the first layer of the top: 30 layers and a third give 20. At least one layer is top; 1.0 gives 0."""
    layers = layer_count(model)
    return layers - max(1, round(layers * top_fraction))


def _view(model: nn.Module, start: int, stop: int | None) -> PreTrainedModel:
    """A decoder of the layers [start, stop) that shares its modules with `model`.

    Raises:
        MigakiError: the architecture cannot be cut.
    """
    body = decoder(model)
    require_known_embeddings(body.config)
    require_one_width(body)
    view = copy.copy(body)
    view._modules = dict(body._modules)
    layers = layer_list_name(body)
    setattr(view, layers, getattr(body, layers)[start:stop])
    view.config = config_of_layers(body.config, start, stop)
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
    setattr(view, final_norm_name(view), nn.Identity())
    positions = position_ids(attention_mask) if positions is None else positions
    return _run(view, input_ids=input_ids, attention_mask=attention_mask, position_ids=positions)


def _run(view: PreTrainedModel, **inputs: Tensor) -> Tensor:
    states: Tensor = view(**inputs, use_cache=False).last_hidden_state
    return states


class TopModel(nn.Module):
    """The layers from `k` on and the final norm: trunk states (B, T, H) in, final states (B, T, H) out. See `lm_head` for logits.

    With `stop`, the layers from `k` to before `stop` and no norm: states that enter `stop` out.
    """

    def __init__(self, model: nn.Module, k: int, stop: int | None = None):
        super().__init__()
        self.layers = _view(model, k, stop)
        without_embedding(self.layers)
        if stop is not None:
            setattr(self.layers, final_norm_name(self.layers), nn.Identity())

    def forward(self, hidden: Tensor, attention_mask: Tensor, positions: Tensor | None = None) -> Tensor:
        positions = position_ids(attention_mask) if positions is None else positions
        return _run(self.layers, inputs_embeds=hidden, attention_mask=attention_mask, position_ids=positions)
