"""The variants of a model for serving: fp16, int8 and NF4 weights, written in transformers' own format.

int8 is LLM.int8() (Dettmers et al. 2022), NF4 the 4-bit format of QLoRA (Dettmers et al. 2023) with double quantization, both by
bitsandbytes. Embeddings, norms and the output head stay float32, in which a CPU computes fastest and every architecture opens again: they
are a large share of a small model, which is why it shrinks by less than the textbook's table says. Left out: GPTQ and AWQ, which need
calibration data and a GPU.
"""

import math
from pathlib import Path

import torch
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt, Params4bit
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.models.beside import carried, copy_beside, method_of, take_off
from tasks.models.folders import refuse_unsafe
from tasks.models.loader import load_model, opened
from tasks.prompts.template import stop_ids

ORDER = ("nf4", "int8", "fp16", "fp32")  # from the smallest to the largest
# Share of the weights' memory, were all of them 16, 8 or 4 bits wide.
TEXTBOOK_SAVING = {"fp32": 0.0, "fp16": 0.5, "int8": 0.75, "nf4": 0.875}


def bits_and_bytes(variant: str, int8_threshold: float, dtype: torch.dtype) -> BitsAndBytesConfig:
    """What bitsandbytes is told for "int8" or "nf4"; `dtype` is what NF4 computes in."""
    if variant == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=int8_threshold)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)


def make_variant(variant: str, source: Path, int8_threshold: float, device: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The model in `source` as "fp16", "int8" or "nf4"; of the latter two, `dtype` is what is not quantized and what they compute in.

    Raises:
        MigakiError: it cannot be opened, fp16 cannot hold a weight, bitsandbytes knows none of the model's layers, or int8 and nf4 have something beside them.
    """
    if variant == "fp16":
        model = load_model(source, "float16")
        if overflown := [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]:
            raise MigakiError(f"fp16 ends at 65504, and weights of {overflown[0]} are larger")
        return model
    refuse_unsafe(source)
    if (aside := carried(source)) is not None:
        raise MigakiError(f"what tune.method = {method_of(aside)} left stays beside weights of floating point: accepted are fp16 and fp32")
    model = opened(source, dtype=dtype, quantization_config=bits_and_bytes(variant, int8_threshold, dtype), device_map={"": device})
    if not quantized_layers(model):
        raise MigakiError(f"bitsandbytes finds no layer that it can quantize in a {model.config.model_type} model")
    return model


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, beside: Path | None = None) -> None:
    """With the tokenizer, its chat template, and the tokens that end an answer, so that other programs end one there too.

    Args:
        beside: the adapter that the model computes with beside its weights; it is taken off the model and copied.
    """
    if beside:
        take_off(model)
    if model.generation_config is not None:
        model.generation_config.eos_token_id = sorted(stop_ids(model, tokenizer))
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if beside:
        copy_beside(beside, folder)


def quantized(model: nn.Module) -> list[tuple[str, Linear4bit | Linear8bitLt]]:
    """The layers whose weights are 8 or 4 bits wide, with their names."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, Linear4bit | Linear8bitLt)]


def quantized_layers(model: nn.Module) -> list[str]:
    """Names of the layers whose weights are 8 or 4 bits wide."""
    return [name for name, _ in quantized(model)]


def parameter_count(model: nn.Module) -> int:
    """Parameters of a model, of 4-bit layers those that they stand for."""
    return sum(
        math.prod(parameter.quant_state.shape) if isinstance(parameter, Params4bit) and parameter.quant_state else parameter.numel()
        for parameter in model.parameters()
    )


def weight_bytes(model: nn.Module) -> int:
    """Memory of a model's weights, the scales of 4-bit blocks and of those scales included, which are no parameters."""
    scales = 0
    for parameter in model.parameters():
        state = parameter.quant_state if isinstance(parameter, Params4bit) else None
        while state is not None:
            scales += state.absmax.nbytes + state.code.nbytes
            state = state.state2
    return scales + sum(parameter.nbytes for parameter in model.parameters())


def disk_bytes(folder: Path) -> int:
    """Size of the weight files, with those of what is carried beside the weights."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
