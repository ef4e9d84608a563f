"""Opens the model that an artifact stands for: the base, a chain of adapters on it, or a model of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.kinds import Adapter, Model
from tasks.errors import MigakiError
from tasks.models.beside import put_beside, stays_beside
from tasks.models.loader import load_tokenizer
from tasks.models.merged import load_merged
from tasks.models.trunk import input_embeddings
from tasks.models.unmerged import load_unmerged
from tasks.prompts.chat_format import freeze_date
from tasks.prompts.templates import DEFAULT


@dataclass(frozen=True)
class ChatChoice:
    """The template of a tokenizer that has none, by name, and whether answers begin with thoughts; see `load_tokenizer`."""

    template: str = DEFAULT
    thinking: bool = False


FindAdapter = Callable[[str], tuple[Path, Adapter]]  # the folder and the record of an `adapter` artifact, by its id


@dataclass(frozen=True)
class Parts:
    """A model folder, the folders of the adapters (PEFT) on it, first to last, the chat that they were tuned to, and the trunk that they learnt on:
    "nf4" where one of them did, since it fits no other weights than those that 4 bits keep."""

    start: Path
    adapters: tuple[Path, ...] = ()
    chat: ChatChoice = ChatChoice()
    trunk: str = "float32"

    @property
    def beside(self) -> Path | None:
        """The folder of what no weights can hold."""
        return self.adapters[-1] if self.adapters and stays_beside(self.adapters[-1]) else None


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
    tuned = next((adapter for _, adapter in reversed(chain) if adapter.template), None)
    chosen = ChatChoice(tuned.template or DEFAULT, bool(tuned.thinking)) if tuned else ChatChoice()
    trunk = "nf4" if any(adapter.trunk == "nf4" for _, adapter in chain) else "float32"
    return Parts(start, tuple(adapter / "adapter" for adapter, _ in chain), chosen, trunk)


def open_model(
    base: Path,
    trained: tuple[Path, Adapter | Model] | None,
    find: FindAdapter,
    device: str = "cpu",
    trunk: str = "float32",
    chat: ChatChoice | None = None,
    today: str = "",
    beside: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The frozen model of `parts_of`, and its tokenizer. In float32 adapters are merged; on a "bfloat16" or "nf4" trunk they stay beside the weights.

    Args:
        chat: instead of what the adapters were tuned to.
        today: the day (YYYY-MM-DD) that the chat template is told; "" is the clock's.
        beside: in float32, take a last adapter that no weights can hold (a bottleneck, virtual tokens) as well, beside them.

    Raises:
        MigakiError: a folder holds no model or no tokenizer that can be opened, or its tokenizer has more tokens than the model; or an adapter can
            neither be merged nor stay beside the weights of such a trunk.
    """
    parts = parts_of(base, trained, find)
    tokenizer = _tokenizer(parts, chat, today)
    if trunk == "float32":
        model = load_merged(
            parts.start, list(parts.adapters[:-1] if beside and parts.beside else parts.adapters), "float32", device, parts.trunk
        )
        if beside and parts.beside:
            put_beside(model, parts.beside)
    else:
        model = load_unmerged(parts.start, parts.adapters, trunk, device, parts.trunk)
    require_fitting(model, tokenizer, parts.start.name)
    return model, tokenizer


def open_tokenizer(
    base: Path, trained: tuple[Path, Adapter | Model] | None, find: FindAdapter, today: str = "", chat: ChatChoice | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer alone, as `open_model` gives it."""
    return _tokenizer(parts_of(base, trained, find), chat, today)


def _tokenizer(parts: Parts, chat: ChatChoice | None, today: str) -> PreTrainedTokenizerBase:
    chosen = chat or parts.chat
    tokenizer = load_tokenizer(parts.start, chosen.template, chosen.thinking)
    if today:
        freeze_date(tokenizer, today)
    return tokenizer


def require_fitting(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """
    Raises:
        MigakiError: the tokenizer has more tokens than the model has embeddings: some texts would have none.
    """
    rows, tokens = input_embeddings(model).weight.shape[0], max(tokenizer.get_vocab().values()) + 1
    if tokens > rows:
        raise MigakiError(
            f"the tokenizer in {name!r} has {tokens:,} tokens and the model embeddings for {rows:,}: one of the two is another model's, or "
            "the embeddings were not resized when tokens were added"
        )
