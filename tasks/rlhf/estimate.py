"""How much memory RLHF will take, worked out from the model's shapes before anything is loaded.

Weights, adapters and optimizers are there all the time; of sampling, scoring and learning, which follow each other, the largest counts.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from tasks.errors import MigakiError
from tasks.models.families import key_value_width
from tasks.models.likelihood import PART
from tasks.models.memory import KEPT_HIDDEN, KEPT_WIDE, MIB, PROGRAM, Need, Shapes
from tasks.models.trunk import hidden_size, layer_count, lm_head, split_layer
from tasks.rlhf.critic import learning_layers
from tasks.rlhf.settings import AlignSettings

SCORED_AT_ONCE = 256  # tokens whose logits exist together where no gradient is needed


def separate_bytes(folder: Path) -> int:
    """What the weights of a reward model of its own take, in float32."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def estimate(model: PreTrainedModel, settings: AlignSettings, prompt_tokens: int, device: str = "cpu", separate: int = 0) -> Need:
    """What `align` needs with these settings.

    Args:
        model: of `model_of_shapes`, or any with the same parameters.
        prompt_tokens: of the longest prompt.
        separate: bytes of a reward model of its own.
    """
    shapes = Shapes(model)
    layers, layer = layer_count(model), split_layer(model, settings.reward_top_fraction)
    hidden, vocabulary = hidden_size(model), lm_head(model).weight.shape[0]
    width = 2 if settings.trunk == "bfloat16" or (settings.trunk == "nf4" and device != "cpu") else 4
    wide, tokens = shapes.widest, prompt_tokens + settings.answer_tokens
    policy, policy_bases = shapes.adapter(settings.lora_targets, settings.lora_r, layer)
    reward, _ = shapes.adapter(settings.reward_lora_targets, settings.reward_lora_r, layer)
    critic_layer = layers - learning_layers(layers, layers - layer, settings.critic_fraction)
    critic, _ = shapes.adapter(settings.reward_lora_targets, settings.reward_lora_r, critic_layer)
    states = 4 * settings.episodes * tokens * hidden
    micro = min(settings.micro_batch, -(-settings.episodes // settings.minibatches))
    held = {
        "program": PROGRAM if device == "cpu" else 0,
        "weights": shapes.weights(settings.trunk, width),
        "reward model of its own": separate,
        "adapters": 4 * (2 * policy + 3 * reward),  # policy and the best one so far; critic and both reward models
        "optimizers": 4 * 3 * (policy + critic),  # gradients and AdamW's two moments
        "states": states * (2 if critic_layer > layer else 1),
    }
    sampling: dict[str, float] = {
        "copy of the adapted weights": 0 if settings.trunk == "nf4" else width * policy_bases,
        "key-value cache": width * 2 * settings.episodes * tokens * layers * key_value_width(model.config),
        "logits of a step": 28 * settings.episodes * vocabulary,  # float32 three times, float64 twice
    }
    scoring: dict[str, float] = {
        "states of a pass": 4 * states,
        "activations": 4 * 3 * settings.episodes * tokens * wide,
        "logits": 4 * 4 * SCORED_AT_ONCE * vocabulary,
    }
    kept = width * (layers - layer) * (KEPT_HIDDEN * hidden + KEPT_WIDE * wide)  # bytes a token
    if width < 4:  # adapters are float32, and each keeps a copy of what enters it
        kept += 4 * max(shapes.inputs(settings.lora_targets, layer), shapes.inputs(settings.reward_lora_targets, critic_layer))
    learning: dict[str, float] = {
        "activations": kept * micro * tokens,
        "logits": 4 * 3 * min(PART, micro * settings.answer_tokens) * vocabulary,
    }
    return Need(held, {"sampling": sampling, "scoring": scoring, "learning": learning})


# What makes a run smaller, in the order in which it costs least; each is a change of settings.
SMALLER: tuple[dict[str, Any], ...] = (
    {"micro_batch": 1},
    {"trunk": "bfloat16", "micro_batch": 1},
    {"trunk": "nf4", "micro_batch": 1},
    {"trunk": "nf4", "micro_batch": 1, "episodes": 4},
)


def require_memory(
    model: PreTrainedModel, settings: AlignSettings, prompt_tokens: int, free: int, device: str = "cpu", separate: int = 0
) -> Need:
    """The need, if it fits.

    Args:
        free: bytes that this process may take in all.

    Raises:
        MigakiError: it does not; with the arithmetic, and the settings that would make it fit.
    """
    need = estimate(model, settings, prompt_tokens, device, separate)
    if need.total <= free:
        return need
    for change in SMALLER:
        smaller = estimate(model, settings.model_copy(update=change), prompt_tokens, device, separate)
        if smaller.total <= free:
            way = " ".join(f"--set align.{name}={value}" for name, value in change.items())
            advice = f"{way} would bring it to {smaller.total / MIB:,.0f} MiB"
            break
    else:
        advice = "no setting of align makes it fit: take a smaller model or a larger machine"
    raise MigakiError(f"RLHF would need {need.arithmetic()}, at most while {need.largest}, but {free / MIB:,.0f} MiB are free; {advice}")
