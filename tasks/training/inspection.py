"""What a model folder holds, and whether it can be trained: everything that a run would find out, found out before one is begun."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import jinja2
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.agreement import examined, probe_ids
from tasks.models.catalogue import lora_parameters
from tasks.models.families import context_length, layer_index
from tasks.models.folders import refuse_unsafe
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.lora import expert_parameters, lora_config, target_modules
from tasks.models.memory import MIB, free_memory, model_of_shapes
from tasks.models.trunk import input_embeddings, layer_count, split_layer
from tasks.prompts.template import encode_prompt, end_id
from tasks.training.estimate import estimate
from tasks.training.settings import TuneSettings

T = TypeVar("T")
HEADER = 8  # bytes before the header of a safetensors file, which is JSON
SYSTEM, TOOL = "Answer in rhymes.", "look_up_tide"  # what a template that takes such things shows of them
QUESTION = [{"role": "user", "content": "When is high tide?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "When the tide is high.",
            "parameters": {
                "type": "object",
                "properties": {"harbour": {"type": "string", "description": "Which one."}},
                "required": ["harbour"],
            },
        },
    }
]


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
        found.facts["targets"] = found.attempt(lambda: _targets(shapes, settings))
        fits = _inspect_memory(shapes, settings, device, found) if found.facts["targets"] else False
        if found.facts["precision"] and fits:
            found.facts["agreement"] = found.attempt(lambda: _agreement(folder, tokenizer, device))
    return found


def _shapes(folder: Path) -> PreTrainedModel:
    """
    Raises:
        MigakiError: transformers knows no causal language model of this configuration, or the folder is unsafe.
    """
    refuse_unsafe(folder)
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
    found.facts["template"] = "own" if tokenizer.chat_template else "none: Alpaca's is used"
    found.facts |= _takes(tokenizer)
    try:
        encode_prompt(tokenizer, QUESTION)
        end = end_id(tokenizer)
    except (MigakiError, jinja2.TemplateError) as error:
        found.problems.append(f"the tokenizer's chat template fails on a plain question: {error}")
        return
    found.facts["end_token"] = None if end is None else f"{tokenizer.convert_ids_to_tokens(end)} ({end})"
    if end is None:
        found.problems.append(
            "the tokenizer has no end token (eos_token), so the model could not learn where an answer ends: name one in tokenizer_config.json"
        )


def _takes(tokenizer: PreTrainedTokenizerBase) -> dict[str, bool]:
    """Whether system turns and tools come through the chat template, and whether it opens thoughts before an answer."""
    return {
        "system_turns": SYSTEM in _rendered(tokenizer, [{"role": "system", "content": SYSTEM}, *QUESTION]) or not tokenizer.chat_template,
        "tools": TOOL in _rendered(tokenizer, QUESTION, tools=TOOLS),
        "opens_thoughts": "<think>" in _rendered(tokenizer, QUESTION),
    }


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], **more: Any) -> str:
    """Empty without a template, and where it does not take them."""
    if not tokenizer.chat_template:
        return ""
    try:
        return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **more))
    except (jinja2.TemplateError, TypeError, ValueError):
        return ""


def _targets(shapes: PreTrainedModel, settings: TuneSettings) -> dict[str, Any]:
    """What would be trained: names of modules, how many there are, and their parameters.

    Raises:
        MigakiError: the targets of the settings are not there, or not possible.
    """
    if settings.method == "full":
        return {"names": ["all weights"], "modules": 0, "parameters": sum(parameter.numel() for parameter in shapes.parameters())}
    layer = split_layer(shapes, settings.top_fraction)
    lora_config(shapes, settings.lora_r, settings.lora_alpha, from_layer=layer, targets=settings.lora_targets)
    names = target_modules(shapes, settings.lora_targets)
    inside = [(name, layer_index(name)) for name, _ in shapes.named_modules() if name.rpartition(".")[2] in names]
    weights = [cast(Tensor, shapes.get_submodule(name).weight).shape for name, at in inside if at is None or at >= layer]
    trained = lora_parameters([(shape[0], shape[1]) for shape in weights], settings.lora_r)
    return {
        "names": names,
        "modules": len(weights),
        "parameters": trained,
        "from_layer": layer,
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
    longest = min(settings.max_tokens, context_length(shapes.config) or settings.max_tokens)
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


def _agreement(folder: Path, tokenizer: PreTrainedTokenizerBase | None, device: str) -> float:
    """Nats by which Migaki's path is from the model's own forward, in float32. Raises what `examined` raises."""
    model = load_model(folder, "float32", device)
    return examined(model, probe_ids(model, tokenizer), "float32", None, lambda line: None).distance
