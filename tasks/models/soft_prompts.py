"""Virtual tokens that are learnt: before the text (prompt tuning, Lester et al. 2021) or in every layer's cache (prefix tuning, Li and Liang 2021).

Parameters and files are PEFT's; the way to final states is ours, since the loss is taken on answer positions alone. Prompts start as embeddings
of words of the vocabulary, drawn at random (Lester et al., section 3.2), prefixes as what the model itself makes of such words (Li and Liang, section
7.4), without their network that makes the prefix: PEFT's normal start would put noise into every layer.
"""

import json
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.errors import MigakiError
from tasks.models.batching import Batch
from tasks.models.likelihood import FinalStates
from tasks.models.trunk import causal_lm, decoder, input_embeddings, position_ids
from tasks.models.virtual_tokens import obstacle, put_before

KINDS = {"PROMPT_TUNING": "prompt", "PREFIX_TUNING": "prefix"}
FAILURES = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


def with_soft_prompt(model: nn.Module, method: str, count: int, seed: int) -> PeftModel:
    """A PEFT model with `count` virtual tokens by "prompt" or "prefix", everything else frozen.

    Raises:
        MigakiError: the family's attention or cache cannot take them.
    """
    base, family = causal_lm(model), causal_lm(model).config.model_type
    if why := obstacle(base):
        raise MigakiError(f"models of the family {family!r} {why}: {_OTHERS}")
    config: Any = PrefixTuningConfig if method == "prefix" else PromptTuningConfig
    try:
        adapted = cast(PeftModel, get_peft_model(base, config(task_type="CAUSAL_LM", num_virtual_tokens=count)).eval())
        if base.device.type != "meta":  # shapes alone have no words, and nothing to try
            _start(adapted, base, method, count, seed)
        if method == "prefix" and base.device.type != "meta":  # families differ in what they cache; embeddings that are handed in take any
            two = torch.zeros(1, 2, dtype=torch.long, device=base.device)
            with torch.no_grad():
                soft_prompt_states(adapted)(Batch([0], two, torch.ones_like(two), two.bool(), two[0, :0]))
    except FAILURES as error:
        raise MigakiError(
            f"models of the family {family!r} cannot be tuned by tune.method = {method} ({type(error).__name__}: {error}): {_OTHERS}"
        ) from error
    return adapted


_OTHERS = "accepted for it are lora, qlora, ia3, adapter and full, as far as `migaki models --check` has nothing against them"


@torch.no_grad()
def _start(adapted: PeftModel, base: nn.Module, method: str, count: int, seed: int) -> None:
    """Words of the vocabulary, by the seed, as embeddings or as what the layers keep of them."""
    words = torch.randint(input_embeddings(base).weight.shape[0], (1, count), generator=torch.Generator().manual_seed(seed))
    words = words.to(causal_lm(base).device)
    learnt: Any = adapted.prompt_encoder["default"]
    if method == "prompt":
        learnt.embedding.weight.copy_(input_embeddings(base)(words)[0])
        return
    kept = decoder(base)(input_ids=words, use_cache=True).past_key_values
    layers = [part[0].transpose(0, 1).reshape(count, -1) for layer in kept.layers for part in (layer.keys, layer.values)]
    learnt.embedding.weight.copy_(torch.cat(layers, dim=1))  # (count, layers x 2 x heads x width), as PEFT has it


def soft_prompt_states(model: PeftModel) -> FinalStates:
    """Final states (B, T, H) of the real tokens, which come after the virtual ones: these are seen by all and have no states of their own here."""
    body, about = decoder(model), model.active_peft_config
    count, is_prefix = about.num_virtual_tokens, KINDS[about.peft_type.value] == "prefix"

    def final_states(batch: Batch) -> Tensor:
        mask = torch.cat([batch.mask.new_ones(len(batch.mask), count), batch.mask], dim=1)
        positions, prompt = position_ids(mask), model.get_prompt(len(batch.mask))
        if is_prefix:
            given = {"input_ids": batch.ids, "position_ids": positions[:, count:], "past_key_values": prompt}
        else:
            texts = input_embeddings(model)(batch.ids)
            given = {"inputs_embeds": torch.cat([prompt.to(texts.dtype), texts], dim=1), "position_ids": positions}
        states: Tensor = body(**given, attention_mask=mask, use_cache=False).last_hidden_state
        return states[:, -batch.ids.shape[1] :]

    return final_states


@torch.no_grad()
def put_soft_prompt(model: PreTrainedModel, folder: Path) -> None:
    """Let every text of a model come after the virtual tokens of a folder, in place."""
    put_before(model, virtual_keys_and_values(PeftModel.from_pretrained(model, folder).eval()))


def virtual_keys_and_values(model: PeftModel) -> list[tuple[Tensor, Tensor]]:
    """Keys and values (1, heads, count, dimension) that each layer has of the virtual tokens."""
    prompt: Any = model.get_prompt(1)
    if KINDS[model.active_peft_config.peft_type.value] == "prompt":
        prompt = decoder(model)(inputs_embeds=prompt.to(causal_lm(model).dtype), use_cache=True).past_key_values
    return [(layer.keys, layer.values) for layer in prompt.layers]


def kind_of(folder: Path) -> str:
    """What PEFT calls the kind of an adapter (LORA, IA3, PREFIX_TUNING, ...), or `tasks.models.bottleneck.KIND`."""
    return str(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("peft_type"))
