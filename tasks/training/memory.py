"""What training takes while it runs, as far as it depends on the length of rows."""

import psutil
import torch
from transformers import PreTrainedModel

from tasks.models.trunk import causal_lm, hidden_size, layer_count, split_layer
from tasks.training.settings import TrainingSettings

SHARE = 0.5  # of the free memory that activations may take: the rest is for weights' gradients, logits, and others
OF_WIDTH, OF_INNER = (
    14,
    4,
)  # numbers that a layer keeps of a token for the backward pass: so many times its width, and the width of its inner layer


def bytes_per_token(model: PreTrainedModel, settings: TrainingSettings) -> int:
    """Of activations that wait for the backward pass, float32: of the layers that learn, and of those between them and the loss."""
    config = causal_lm(model).config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or getattr(config, "ffn_dim", None) or 4 * hidden_size(model)
    active = getattr(config, "num_experts_per_tok", None) or 1
    learning = layer_count(model) - (0 if settings.method == "full" else split_layer(model, settings.top_fraction))
    return 4 * learning * (OF_WIDTH * hidden_size(model) + OF_INNER * inner * active)


def tokens_in_memory(model: PreTrainedModel, settings: TrainingSettings) -> int:
    """The longest row of which `micro_batch` fit into half of what is free."""
    if causal_lm(model).device.type == "cuda":
        free = torch.cuda.mem_get_info(causal_lm(model).device)[0]
    else:
        free = psutil.virtual_memory().available
    return int(SHARE * free / (bytes_per_token(model, settings) * settings.micro_batch))
