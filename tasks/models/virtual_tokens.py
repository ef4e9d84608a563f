"""Virtual tokens in a model for good: what each layer keeps of them, seen by every text that passes, whoever asks the model and with what cache.

Prompt tuning and prefix tuning come to the same here: keys and values of tokens before the text. They are constant, so they need no place in
anybody's cache: each attention adds them to the keys and values that it is given, and positions begin behind them. transformers lets a program bring its own
attention function (`AttentionInterface`); families that do not ask for one cannot have virtual tokens.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from tasks.models.families import attention_kinds
from tasks.models.trunk import decoder, layers_of

NAME = "sdpa_behind_virtual_tokens"
KEYS, VALUES = "virtual_keys", "virtual_values"  # buffers of each attention, (1, heads, count, dimension)

KeysAndValues = Sequence[tuple[Tensor, Tensor]]  # of each layer


def obstacle(model: PreTrainedModel) -> str:
    """Why texts of this model cannot come after virtual tokens, as words that go on from "models of the family"; "" where they can."""
    config = model.config
    if others := attention_kinds(config) - {"full_attention"}:
        return f"have layers of {', '.join(sorted(others))}, which would lose sight of virtual tokens"
    if not model._can_set_attn_implementation() or config._attn_implementation != "sdpa":
        return "bring an attention of their own, which cannot be given virtual tokens"
    return ""


def put_before(model: PreTrainedModel, layers: KeysAndValues) -> None:
    """Let every text of the model come after virtual tokens, in place. `context_length` becomes shorter by them."""
    for layer, (keys, values) in zip(layers_of(model), layers, strict=True):
        for attention in _attentions(layer):
            attention.register_buffer(KEYS, keys.detach().clone(), persistent=False)
            attention.register_buffer(VALUES, values.detach().clone(), persistent=False)
    count = layers[0][0].shape[-2]
    decoder(model).register_forward_pre_hook(_Behind(count), with_kwargs=True)
    model.config.virtual_tokens = count
    model.set_attn_implementation(NAME)


def take_away(model: PreTrainedModel) -> None:
    """Undo `put_before`."""
    for layer in layers_of(model):
        for attention in _attentions(layer):
            delattr(attention, KEYS)
            delattr(attention, VALUES)
    hooks = decoder(model)._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook, _Behind)]:
        del hooks[key]
        decoder(model)._forward_pre_hooks_with_kwargs.pop(key)
    del model.config.virtual_tokens
    model.set_attn_implementation("sdpa")


def has_virtual_tokens(model: nn.Module) -> bool:
    return any(isinstance(hook, _Behind) for hook in decoder(model)._forward_pre_hooks.values())


def _attentions(layer: nn.Module) -> list[nn.Module]:
    """The modules of a layer that attention functions are called with: they know which layer theirs is."""
    return [module for module in layer.modules() if isinstance(getattr(module, "layer_idx", None), int) and module is not layer]


class _Behind:
    """A hook on the decoder: positions begin behind the virtual tokens."""

    def __init__(self, count: int):
        self.count = count

    def __call__(self, _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        positions = named.get("position_ids")
        if positions is None:
            entering = next(part for part in (*arguments[:1], named.get("input_ids"), named.get("inputs_embeds")) if part is not None)
            cache = named.get("past_key_values")
            begun = cache.get_seq_length() if cache is not None else 0
            positions = torch.arange(begun, begun + entering.shape[1], device=entering.device)[None]
        return arguments, named | {"position_ids": positions + self.count}


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, Tensor | None]:
    """sdpa with the module's virtual keys and values before those of the text, which every token sees."""
    rows, seen = query.shape[0], key.shape[-2]
    virtual = cast(Tensor, getattr(module, KEYS))
    keys = torch.cat([virtual.to(key.dtype).expand(rows, -1, -1, -1), key], dim=-2)
    values = torch.cat([cast(Tensor, getattr(module, VALUES)).to(value.dtype).expand(rows, -1, -1, -1), value], dim=-2)
    if attention_mask is None:  # sdpa's own causal masking begins at the first key
        width = query.shape[-2]
        attention_mask = torch.ones(1, 1, width, seen, dtype=torch.bool, device=query.device).tril(seen - width)
    every = attention_mask.new_ones if attention_mask.dtype == torch.bool else attention_mask.new_zeros
    mask = torch.cat([every(*attention_mask.shape[:-1], virtual.shape[-2]), attention_mask[..., :seen]], dim=-1)
    result: tuple[Tensor, Tensor | None] = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, keys, values, mask, **more)
    return result


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
