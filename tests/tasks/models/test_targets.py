"""What LoRA goes on in every family: the default settings work, and what would not work is refused by name."""

import copy

import pytest
import torch
from peft import get_peft_model
from torch import nn

import tasks.models.loader  # noqa: F401  (Falcon with torch's linear layers, as everywhere)
from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.models.likelihood import answer_nll
from tasks.models.linear import sped_up
from tasks.models.lora import adapted_modules, expert_parameters, is_tied, lora_config, lora_layers, target_modules
from tasks.models.trunk import lm_head
from tasks.models.unmerged import load_unmerged
from tasks.training.methods import make_trainable
from tasks.training.settings import TuneSettings
from tests.helpers.heads import LAYERS, SETTINGS, tiny_of

IDS = torch.tensor([[5, 9, 12, 30, 7, 41, 8, 1]])
EXAMPLES = [Example(IDS[0].tolist(), 3), Example([6, 2, 50, 33, 1], 2)]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
FOUND = {  # families whose layers are not what the table says of Llama's kind
    "mixtral": ATTENTION,
    "qwen3_moe": ATTENTION,
    "phimoe": ATTENTION,  # not on its router
    "granitemoeshared": [*ATTENTION, "input_linear", "output_linear"],
    "glm4": [*ATTENTION, "gate_up_proj", "down_proj"],
    "nemotron": [*ATTENTION, "up_proj", "down_proj"],
    "codegen": ["qkv_proj", "out_proj", "fc_in", "fc_out"],
}
SMALL_EXPERTS = {"num_local_experts": 4, "n_routed_experts": 4, "num_experts": 4}


@pytest.mark.parametrize("family", [*SETTINGS, "phimoe", "glm4", "nemotron"])
def test_default_settings_give_adapters_that_learn_and_merge(family):
    trainable = make_trainable(sped_up(tiny_of(family, **(SMALL_EXPERTS if family == "phimoe" else {}))), TuneSettings())
    model = trainable.model
    assert trainable.layer == LAYERS - 1 and len(lora_layers(model)) >= 2
    batch = collate(EXAMPLES, [0, 1], pad_id=0)
    answer_nll(trainable.final_states(EXAMPLES, 64), lm_head(model), batch).mean().backward()
    fresh = {name: p for name, p in model.named_parameters() if "lora_B" in name}  # A learns once B is not zero
    assert fresh and all(p.grad is not None and p.grad.abs().sum() > 0 for p in fresh.values()), family
    torch.manual_seed(1)
    for weight in trainable.parameters:
        nn.init.normal_(weight, std=0.1)
    with torch.no_grad():
        unmerged = model(input_ids=IDS, use_cache=False).logits
        base = tiny_of(family, **(SMALL_EXPERTS if family == "phimoe" else {}))(input_ids=IDS, use_cache=False).logits
        merged = copy.deepcopy(model).merge_and_unload()(input_ids=IDS, use_cache=False).logits
    torch.testing.assert_close(merged, unmerged, atol=2e-4, rtol=1e-4)
    assert (unmerged - base).abs().max() > 1e-3


@pytest.mark.parametrize("family", FOUND)
def test_a_family_that_names_its_modules_otherwise_gets_what_it_has(family):
    model = tiny_of(family, **(SMALL_EXPERTS if family == "phimoe" else {}))
    assert target_modules(model, "all-linear") == FOUND[family]
    assert bool(expert_parameters(model)) == ("moe" in family or family == "mixtral")


def test_experts_are_counted():
    config = tiny_of("mixtral").config
    each = 3 * config.hidden_size * config.intermediate_size
    assert expert_parameters(tiny_of("mixtral")) == LAYERS * config.num_local_experts * each
    assert expert_parameters(tiny_of("llama")) == 0
    tuned = get_peft_model(tiny_of("mixtral"), lora_config(tiny_of("mixtral"), 2, 4, from_layer=3, targets="all-linear"))
    assert adapted_modules(tuned) == ATTENTION and expert_parameters(tuned) == expert_parameters(tiny_of("mixtral"))


@pytest.mark.parametrize("family", ["gpt_neox", "falcon", "codegen", "gpt_bigcode", "phi3"])
def test_attention_of_fused_projections(family):
    model = tiny_of(family)
    names = target_modules(model, "attention")
    tuned = get_peft_model(model, lora_config(model, rank=2, alpha=4, targets="attention"))
    assert names and all("attn" in name or "attention" in name for name, _ in tuned.named_modules() if name.endswith("lora_A.default"))


def test_what_is_not_there_or_no_linear_module_is_refused_with_what_is():
    for targets in ("gate_up_proj", "experts", "q_proj,input_layernorm", "q_proj,nothing"):
        with pytest.raises(
            MigakiError, match=r"are not in this mixtral model; accepted: attention, all-linear, or some of \['embed_tokens', 'k_proj'"
        ):
            target_modules(tiny_of("mixtral"), targets)
    with pytest.raises(MigakiError, match=r"LoRA targets .* are not in this mpt model; accepted: all-linear, or some of"):
        target_modules(tiny_of("mpt"), "attention")


@pytest.mark.parametrize(("family", "entering"), [("llama", "embed_tokens"), ("gpt2", "wte"), ("bloom", "word_embeddings")])
def test_tied_embeddings_are_no_target(family, entering):
    model = tiny_of(family, tie_word_embeddings=True)
    assert is_tied(model)
    for layer in (0, 2):
        for targets in ("lm_head", entering, f"{target_modules(model, 'attention')[0]},lm_head"):
            with pytest.raises(MigakiError, match="by one matrix .tied embeddings.*accepted: attention, all-linear, or some of") as refused:
                lora_config(model, 4, 8, from_layer=layer, targets=targets)
            assert (
                "lm_head" not in str(refused.value).partition("some of")[2] and entering not in str(refused.value).partition("some of")[2]
            )
    wrapped = get_peft_model(model, lora_config(model, 4, 8))
    assert is_tied(wrapped) and not is_tied(tiny_of(family, tie_word_embeddings=False))


def test_targets_below_what_is_trained_are_refused():
    model = tiny_of("llama")
    for targets in ("embed_tokens", "q_proj,embed_tokens"):
        with pytest.raises(MigakiError, match=r"\['embed_tokens'\] are below layer 2, .* accepted: top_fraction = 1"):
            lora_config(model, 4, 8, from_layer=2, targets=targets)
    assert lora_config(model, 4, 8, targets="embed_tokens").target_modules == {"embed_tokens"}


def test_adapters_on_embeddings_have_no_place_beside_weights_of_fewer_bits(tmp_path):
    model = tiny_of("llama")
    model.save_pretrained(tmp_path / "base")
    get_peft_model(model, lora_config(model, 4, 8, targets="embed_tokens")).save_pretrained(
        tmp_path / "adapter", save_embedding_layers=False
    )
    with pytest.raises(MigakiError, match="an adapter on embeddings can only be merged"):
        load_unmerged(tmp_path / "base", [tmp_path / "adapter"], "bfloat16")
