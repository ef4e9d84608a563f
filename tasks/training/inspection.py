"""What a model folder holds, and whether it can be trained: everything that a run would find out, found out before one is begun."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.agreement import examined, probe_ids
from tasks.models.bottleneck import Bottleneck
from tasks.models.families import context_length
from tasks.models.folders import refuse_unsafe
from tasks.models.loader import load_model, load_tokenizer, require_causal
from tasks.models.lora import expert_parameters
from tasks.models.memory import MIB, free_memory, model_of_shapes
from tasks.models.trunk import input_embeddings, layer_count, split_layer
from tasks.prompts.chat_format import chat_format
from tasks.prompts.template import encode_prompt, end_id
from tasks.prompts.templates import OWN, template_name
from tasks.training.estimate import estimate, longest_row
from tasks.training.methods import SOFT_PROMPTS, make_trainable
from tasks.training.settings import TuneSettings

T = TypeVar("T")
HEADER = 8  # bytes before the header of a safetensors file, which is JSON
AUTO_ROW = 512  # tokens of a row, where tune.max_tokens is "auto": memory is told for rows of so many
QUESTION = [{"role": "user", "content": "When is high tide?"}]


@dataclass
class Inspection:
    """Facts by name, in the order in which they are told; and what would be refused or fail, each with the reason."""

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def attempt(self, work: Callable[[], T]) -> T | None:
        """What `work` gives; None where it refuses, which is a problem."""
        try:
            return work()
        except MigakiError as error:
            self.problems.append(str(error))
            return None


def inspect_model(folder: Path, settings: TuneSettings, device: str = "cpu") -> Inspection:
    """Look at everything that `tune` needs of a model with these settings."""
    found = Inspection()
    shapes = found.attempt(lambda: _shapes(folder))
    if shapes is not None:
        found.facts |= {
            "family": shapes.config.model_type,
            "parameters": sum(parameter.numel() for parameter in shapes.parameters()),
            "context": context_length(shapes.config),
        }
    found.facts["precision"] = found.attempt(lambda: stored_precisions(folder))
    tokenizer = found.attempt(lambda: load_tokenizer(folder))
    if tokenizer is not None:
        _inspect_tokenizer(tokenizer, shapes, found)
    if shapes is not None:
        found.facts["targets"] = found.attempt(lambda: _targets(folder, shapes, settings))
        fits = found.attempt(lambda: _inspect_memory(shapes, settings, device, found)) if found.facts["targets"] else False
        if found.facts["precision"] and fits:
            found.facts["agreement"] = found.attempt(lambda: _agreement(folder, tokenizer, device, settings))
    return found


def require_trainable(folder: Path, settings: TuneSettings) -> None:
    """Nothing, where the model of a folder can be tuned with these settings, by its shapes alone.

    Raises:
        MigakiError: it cannot; `inspect_model` has all reasons.
    """
    shapes = _shapes(folder)
    split_layer(shapes, settings.learning_fraction)
    _targets(folder, shapes, settings)


def _shapes(folder: Path) -> PreTrainedModel:
    """
    Raises:
        MigakiError: transformers knows no causal language model of this configuration, or the folder is unsafe.
    """
    refuse_unsafe(folder)
    if (folder / "config.json").exists():
        require_causal(folder)
    try:
        return model_of_shapes(folder)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise MigakiError(f"the model in {folder.name!r} is of no kind that can be opened: {error}") from error


def stored_precisions(folder: Path) -> dict[str, float]:
    """The share of the weights on disk in each type, by the names of safetensors (F32, BF16, ...), largest first.

    Raises:
        MigakiError: the folder holds no weights.
    """
    numbers: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(HEADER), "little")))
        for name, about in header.items():
            if name != "__metadata__":
                start, stop = about["data_offsets"]
                numbers[about["dtype"]] += stop - start
    if not numbers:
        raise MigakiError(f"the model folder {folder.name!r} has no weights (*.safetensors)")
    return {kind: size / numbers.total() for kind, size in numbers.most_common()}


def _inspect_tokenizer(tokenizer: PreTrainedTokenizerBase, shapes: PreTrainedModel | None, found: Inspection) -> None:
    found.facts["tokens"] = len(tokenizer)
    if shapes is not None:
        found.facts["embedding_rows"] = rows = input_embeddings(shapes).weight.shape[0]
        if len(tokenizer) > rows:
            found.problems.append(
                f"the tokenizer has {len(tokenizer)} tokens and the model embeddings for {rows}: a text with one of the others would end a run; "
                "take the tokenizer that the model was made with, or resize the model's embeddings"
            )
    name, format = template_name(tokenizer), chat_format(tokenizer)
    found.facts["template"] = name if name == OWN else f"none of its own: {name} (tune.template)"
    found.facts |= {
        "system_turns": format.takes_system,
        "several_turns_in_a_row": format.takes_consecutive,
        "tools": format.takes_tools,
        "thoughts": any(sign in format.template for sign in ("<think>", "enable_thinking")),
    }
    if found.attempt(lambda: encode_prompt(tokenizer, QUESTION)) is not None:
        end = found.attempt(lambda: end_id(tokenizer))
        found.facts["end_token"] = None if end is None else f"{tokenizer.convert_ids_to_tokens(end)} ({end})"


def _targets(folder: Path, shapes: PreTrainedModel, settings: TuneSettings) -> dict[str, Any]:
    """What would be trained: names of modules, how many there are, and their parameters. Made ready for training, without weights.

    Raises:
        MigakiError: the targets of the settings are not there, or the family cannot be tuned by this method.
    """
    with torch.device("meta"):
        trainable = make_trainable(model_of_shapes(folder), settings)
    facts = {"method": settings.method, "parameters": trainable.trained, "total": trainable.total, "share": trainable.share}
    if settings.method == "full":
        return facts | {"names": ["all weights"], "modules": 0}
    if settings.method in SOFT_PROMPTS:
        return facts | {"names": [f"{settings.virtual_tokens} virtual tokens"], "modules": 0}
    adapted = [name for name, module in trainable.model.named_modules() if isinstance(module, BaseTunerLayer | Bottleneck)]
    return facts | {
        "names": list(dict.fromkeys(name.rpartition(".")[2] for name in adapted)),
        "modules": len(adapted),
        "from_layer": trainable.layer,
        "layers": layer_count(shapes),
        "frozen_experts": expert_parameters(shapes),
    }


# What makes training smaller, in the order in which it costs least; each is a change of settings.
SMALLER: tuple[dict[str, Any], ...] = (
    {"micro_batch": 1},
    {"micro_batch": 1, "cache_mb": 0},
    {"method": "lora", "micro_batch": 1, "cache_mb": 0},
)


def _inspect_memory(shapes: PreTrainedModel, settings: TuneSettings, device: str, found: Inspection) -> bool:
    """Whether the weights alone fit."""
    context = context_length(shapes.config) or AUTO_ROW
    longest = min(AUTO_ROW if settings.max_tokens == "auto" else settings.max_tokens, context)
    found.facts["longest_row_that_fits"] = longest_row(shapes, settings, settings.max_rows, device, context)
    need, free = estimate(shapes, settings, longest, settings.max_rows, device), free_memory(device)
    found.facts |= {"need_mib": round(need.total / MIB), "free_mib": round(free / MIB), "largest": need.largest}
    if need.total > free:
        advice = "no setting of tune makes it fit: take a smaller model or a larger machine"
        for change in SMALLER:
            smaller = estimate(shapes, settings.model_copy(update=change), longest, settings.max_rows, device)
            if smaller.total <= free:
                way = " ".join(f"--set tune.{name}={value}" for name, value in change.items())
                advice = f"{way} would bring it to {smaller.total / MIB:,.0f} MiB"
                break
        found.problems.append(
            f"tune would need {need.arithmetic()}, at most while {need.largest}, but {free / MIB:,.0f} MiB are free; {advice}"
        )
    return need.held["weights"] + need.held["program"] <= free


def _agreement(folder: Path, tokenizer: PreTrainedTokenizerBase | None, device: str, settings: TuneSettings) -> float:
    """Nats by which Migaki's path is from the model's own forward, in float32. Raises what `examined` raises, and what shapes alone do not show of virtual
    tokens."""
    model = load_model(folder, "float32", device)
    distance = examined(model, probe_ids(model, tokenizer), "float32", None, lambda line: None).distance
    if settings.method in SOFT_PROMPTS:
        make_trainable(model, settings)
    return distance
