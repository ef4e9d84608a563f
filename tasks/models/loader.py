"""The one place where a causal language model or a tokenizer is opened: dtype and device are decided here."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from tasks.errors import MigakiError
from tasks.models.families import let_falcon_be_quantized
from tasks.models.folders import BESIDE, refuse_unsafe
from tasks.models.linear import sped_up
from tasks.prompts.templates import DEFAULT, settle

transformers_logging.disable_progress_bar()
let_falcon_be_quantized()


def load_tokenizer(path: Path, template: str = DEFAULT, thinking: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, with a chat template. Padding gets a token when there is none; masks are explicit everywhere, so which one
    never matters.

    Args:
        template: the name of the template that it gets when it has none of its own.
        thinking: whether answers begin with thoughts, where its template can have them.

    Raises:
        MigakiError: the folder has no tokenizer that can be opened, or holds code of its own; or no template has that name.
    """
    if not any((path / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")):
        raise MigakiError(
            f"the model folder {path.name!r} has no tokenizer (tokenizer.json, tokenizer.model, vocab.json or spiece.model); save it there with the model"
        )
    refuse_unsafe(path)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return settle(tokenizer, template, thinking)


def load_model(path: Path, dtype: str = "float32", device: str = "cpu") -> PreTrainedModel:
    """The causal language model of a folder, frozen and without dropout, with what the folder carries beside it (`tasks.models.beside`). One
    saved with bitsandbytes opens quantized.

    Raises:
        MigakiError: the folder holds no model that transformers can open, code of its own, or pickled weights.
    """
    if not (path / "config.json").exists():
        raise MigakiError(f"{path.name!r} is no model folder: it has no config.json")
    refuse_unsafe(path)
    quantized = "quantization_config" in json.loads((path / "config.json").read_text(encoding="utf-8"))
    model = opened(path, dtype=getattr(torch, dtype), **({"device_map": {"": device}} if quantized else {}))
    if not quantized:
        model.to(device)  # type: ignore[arg-type]  # transformers wraps `to` so that its types are lost
    model = frozen(sped_up(model))
    if (path / BESIDE).is_dir():
        from tasks.models.beside import put_beside  # peft takes a second to import

        put_beside(model, path / BESIDE)
    return model


def opened(path: Path, **how: Any) -> PreTrainedModel:
    """What transformers opens of a folder that is known to be safe.

    Raises:
        MigakiError: it is of a kind that goes on with no text, or transformers cannot open it.
    """
    require_causal(path)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=False, use_safetensors=True, **how)
    except (OSError, ValueError, SafetensorError) as error:
        raise MigakiError(f"the model in {path.name!r} cannot be opened: {error}") from error
    return model


def require_causal(path: Path) -> None:
    """
    Raises:
        MigakiError: transformers has no causal language model of the folder's family, as of T5.
    """
    family = json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type")
    if family is not None and family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise MigakiError(
            f"the model in {path.name!r} cannot be opened: of the family {family!r} transformers has no causal language model, one that goes on with "
            "a text; accepted are those of which it has, such as llama, qwen3, gemma3 and gpt2"
        )


def frozen(model: PreTrainedModel) -> PreTrainedModel:
    """The model without dropout and without gradients of its own."""
    model.eval()
    model.requires_grad_(False)
    return model
