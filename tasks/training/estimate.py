"""How much memory training will take, worked out from the model's shapes before anything is loaded."""

from transformers import PreTrainedModel

from tasks.models.likelihood import PART
from tasks.models.memory import KEPT_HIDDEN, KEPT_WIDE, PROGRAM, Need, Shapes, free_memory
from tasks.models.trunk import hidden_size, layer_count, lm_head
from tasks.training.methods import first_layer, trained_parameters
from tasks.training.settings import TrainingSettings

SCORED = 8  # rows that are scored together (`tasks.models.likelihood.score_examples`)
FLOAT = 4  # bytes
SHARE = 0.9  # of the free memory that training is planned with: others on the machine want some too


def estimate(model: PreTrainedModel, settings: TrainingSettings, row_tokens: int, rows: int = 0, device: str = "cpu") -> Need:
    """What training needs with these settings, at most.

    Args:
        model: of `tasks.models.memory.model_of_shapes`, or any with the same parameters.
        row_tokens: of the longest row.
        rows: of the dataset; 0 where that is not known, so that the cache of trunk states may be full.
    """
    shapes, full = Shapes(model), settings.method == "full"
    layers, hidden, vocabulary = layer_count(model), hidden_size(model), lm_head(model).weight.shape[0]
    layer, trained = first_layer(model, settings), trained_parameters(model, settings)
    cache = settings.cache_mb * 2**20
    tokens, scored = settings.micro_batch * row_tokens, SCORED * row_tokens
    held: dict[str, float] = {
        "program": PROGRAM if device == "cpu" else 0,
        "weights": shapes.weights("nf4" if settings.method == "qlora" else "float32", FLOAT),
        "adapters": 0 if full else FLOAT * trained,
        "optimizer": FLOAT * 3 * trained,  # gradients and AdamW's two moments
        "states of the frozen layers": min(cache, FLOAT * hidden * row_tokens * rows) if layer and rows else cache if layer else 0,
    }
    scoring: dict[str, float] = {
        "activations": FLOAT * scored * (4 * hidden + 3 * shapes.widest),
        "logits": FLOAT * 4 * PART * vocabulary,
    }
    learning: dict[str, float] = {
        "activations": FLOAT * (layers - layer) * (KEPT_HIDDEN * hidden + KEPT_WIDE * shapes.widest) * tokens,
        "logits": FLOAT * (4 * tokens if full else 3 * min(PART, tokens)) * vocabulary,  # of a head that learns, all are kept
    }
    return Need(held, {"scoring": scoring, "learning": learning})


def longest_row(model: PreTrainedModel, settings: TrainingSettings, rows: int = 0, device: str = "cpu", most: int = 1 << 20) -> int:
    """The most tokens, up to `most`, that a row may have for training to fit the memory that is free; 0 where nothing fits."""
    free, fits, beyond = SHARE * free_memory(device), 0, most + 1
    while beyond - fits > 1:
        tokens = (fits + beyond) // 2
        if estimate(model, settings, tokens, rows, device).total <= free:
            fits = tokens
        else:
            beyond = tokens
    return fits
