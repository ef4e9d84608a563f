"""Tiny random models of many families, with whatever each does around its embeddings and its head made large enough to show."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

LAYERS, VOCABULARY = 4, 64
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
GRANITE = {"logits_scaling": 4.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2}
MIXED = ["sliding_attention", "full_attention"] * (LAYERS // 2)
SETTINGS: dict[str, dict[str, Any]] = {  # by `model_type`
    "llama": {},
    "mistral": {"sliding_window": 4},
    "mixtral": LOCAL_EXPERTS,
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 5.0, "sliding_window": 4, "layer_types": MIXED},
    "gemma3_text": {"head_dim": 8, "final_logit_softcapping": 3.0, "sliding_window": 4, "layer_types": MIXED},
    "vaultgemma": {"head_dim": 8, "final_logit_softcapping": 2.0, "sliding_window": 4, "layer_types": MIXED},
    "cohere": {"logit_scale": 0.25, "use_qk_norm": True},
    "cohere2": {"logit_scale": 0.25, "sliding_window": 4, "layer_types": MIXED},
    "cohere2_moe": {"logit_scale": 0.25, "sliding_window": 4, "layer_types": MIXED, "num_experts": 4, "num_experts_per_tok": 2},
    "granite": GRANITE,
    "granite_swa": {**GRANITE, "sliding_window": 4, "layer_types": MIXED},
    "granitemoe": {**GRANITE, **LOCAL_EXPERTS},
    "granitemoe_swa": {**GRANITE, **LOCAL_EXPERTS, "sliding_window": 4, "layer_types": MIXED},
    "granitemoeshared": {**GRANITE, **LOCAL_EXPERTS, "shared_intermediate_size": 16},
    "granitemoehybrid": {
        **GRANITE,
        "num_local_experts": 0,
        "shared_intermediate_size": 16,
        "layer_types": ["attention"] * LAYERS,
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
    },
    "hyperclovax": {"logits_scaling": 0.25, "embedding_multiplier": 3.0, "residual_multiplier": 0.5},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "qwen3_moe": {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48},
    "phi": {"num_key_value_heads": 4},
    "phi3": {},
    "olmo2": {},
    "stablelm": {},
    "starcoder2": {"sliding_window": None},
    "smollm3": {"no_rope_layers": [1, 0, 1, 0]},
    "gpt2": {},
    "gpt_neox": {},
    "falcon": {},
    "bloom": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
}


def tiny_of(kind: str, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """A frozen model in float32 that is not in training; biases and norms are random too, so that none is overlooked."""
    config = AutoConfig.for_model(kind, **{**COMMON, **SETTINGS.get(kind, {}), **settings})
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)
