"""Opens the model that an artifact stands for: the base, a chain of adapters on it, or a model of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.kinds import Adapter, Model
from tasks.models.loader import load_merged, load_tokenizer
from tasks.models.unmerged import load_unmerged

FindAdapter = Callable[[str], tuple[Path, Adapter]]  # the folder and the record of an `adapter` artifact, by its id


@dataclass(frozen=True)
class Parts:
    """A model folder, and the folders of the adapters (PEFT) on it, first to last."""

    start: Path
    adapters: tuple[Path, ...] = ()


def parts_of(base: Path, trained: tuple[Path, Adapter | Model] | None, find: FindAdapter) -> Parts:
    """What a model is put together from.

    Args:
        base: folder of the base model.
        trained: folder and record of the artifact; None stands for the base model itself.
    """
    if trained is None:
        return Parts(base)
    folder, record = trained
    if record.model:
        return Parts(folder / record.model)
    chain = [find(adapter) for adapter in record.adapters or ()]
    start = base
    if chain and (whole := chain[0][1].model):  # full fine-tuning or pre-training replaced the base
        start, chain = chain[0][0] / whole, chain[1:]
    return Parts(start, tuple(adapter / "adapter" for adapter, _ in chain))


def open_model(
    base: Path, trained: tuple[Path, Adapter | Model] | None, find: FindAdapter, device: str = "cpu", trunk: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The frozen model of `parts_of`, and its tokenizer. In float32 adapters are merged; on a "bfloat16" or "nf4" trunk they stay beside the weights.

    Raises:
        MigakiError: a folder holds no model or no tokenizer that can be opened.
    """
    parts = parts_of(base, trained, find)
    if trunk == "float32":
        return load_merged(parts.start, list(parts.adapters), device=device), load_tokenizer(parts.start)
    return load_unmerged(parts.start, parts.adapters, trunk, device), load_tokenizer(parts.start)
