"""Quantized variants: they open again and say the same, they are measured on the same tokens, and a bad one is never picked."""

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from storage.kinds import Variant
from tasks.errors import MigakiError
from tasks.models.batching import Example
from tasks.models.likelihood import Score, score_examples
from tasks.models.loader import load_model
from tasks.models.quantized import TEXTBOOK_SAVING, make_variant, quantized_layers, save_model
from tasks.models.trunk import lm_head
from tasks.quantization.measure import choose, fixed_tokens, measure, perplexity_of
from tests.helpers.models import save_tiny, tiny_gpt2, tiny_llama, tiny_tokenizer

IDS = torch.arange(2 * 9).reshape(2, 9)


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits.float()


@pytest.mark.parametrize(("variant", "tolerance"), [("fp16", 0.01), ("int8", 0.1), ("nf4", 1.0)])
@pytest.mark.parametrize("family", ["llama", "gpt2", "neox"])
def test_a_variant_opens_again_and_says_the_same(family, variant, tolerance, tmp_path):
    source = save_tiny(tmp_path / "fp32", family, hidden=64)
    expected = logits(load_model(source))
    made = make_variant(variant, source, 0.0, "cpu")
    save_model(made, tiny_tokenizer(), tmp_path / variant)
    opened = load_model(tmp_path / variant)
    assert (logits(opened) - expected).abs().max() < tolerance * expected.std()
    if variant != "fp16":
        torch.testing.assert_close(logits(opened), logits(made), atol=1e-4, rtol=1e-3)
        assert len(quantized_layers(opened)) == len(quantized_layers(made)) >= 4 * 4  # at least four in each of four blocks
        assert lm_head(opened).weight.dtype == opened.get_input_embeddings().weight.dtype == torch.float32


def test_conv1d_of_gpt2_is_turned_before_it_is_quantized(tmp_path):
    """GPT-2's weights lie transposed. c_attn is not square, so a wrong turn would fail; c_proj is, so it must be compared."""
    source = save_tiny(tmp_path / "fp32", "gpt2", hidden=64)
    before, after = tiny_gpt2(hidden=64).transformer.h[0].attn.c_proj, make_variant("int8", source, 0.0, "cpu").transformer.h[0].attn.c_proj
    x = torch.randn(5, 64)
    right, turned = before(x), x @ before.weight.T + before.bias
    assert (after(x) - right).abs().max() < 0.05 * right.std() < (right - turned).abs().max()


def test_outliers_stay_exact_under_the_threshold(tmp_path):
    """One huge input feature takes the whole 8-bit range of its row, unless it is multiplied apart (LLM.int8(), section 3)."""
    source = save_tiny(tmp_path / "fp32", "llama", hidden=64)
    x = torch.randn(4, 64)
    x[:, 7] = 60.0
    right = tiny_llama(hidden=64).model.layers[0].mlp.up_proj(x)
    apart, together = (
        (make_variant("int8", source, threshold, "cpu").model.layers[0].mlp.up_proj(x) - right).abs().mean() for threshold in (6.0, 0.0)
    )
    assert apart < 0.5 * together


def test_an_architecture_that_bitsandbytes_does_not_know_is_refused(tmp_path, monkeypatch):
    source = save_tiny(tmp_path / "fp32", "llama", hidden=64)
    monkeypatch.setattr("tasks.models.quantized.quantized_layers", lambda model: [])
    with pytest.raises(MigakiError, match="no layer that it can quantize in a llama model"):
        make_variant("nf4", source, 0.0, "cpu")


def test_a_width_that_bitsandbytes_cannot_decode_says_so_and_names_a_layer(tmp_path):
    source = save_tiny(tmp_path / "fp32", "llama", hidden=48)
    save_model(make_variant("nf4", source, 0.0, "cpu"), tiny_tokenizer(), tmp_path / "nf4")
    with pytest.raises(MigakiError, match=r"do not run as nf4 on cpu: .*multiples of 64.*layers\.0\.self_attn\.q_proj: 48 to 48"):
        measure("nf4", tmp_path / "nf4", [Example([1, 2, 3, 4], 2, 2, "en")], None, "cpu", lambda n: None)


def test_weights_beyond_fp16_are_refused(tmp_path):
    model = tiny_llama()
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = 1e5
    save_model(model, tiny_tokenizer(), tmp_path / "fp32")
    with pytest.raises(MigakiError, match=r"65504, and weights of model.layers.1.mlp.up_proj.weight are larger"):
        make_variant("fp16", tmp_path / "fp32", 0.0, "cpu")


def test_sizes_come_near_the_textbook_where_blocks_are_most_of_the_model(tmp_path):
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=260, n_embd=256, n_layer=2, n_head=4, n_positions=64, eos_token_id=256, bos_token_id=256))
    save_model(model, tiny_tokenizer(), tmp_path / "fp32")
    rows = [Example(list(range(20)), 5, 15)]
    baseline = measure("fp32", tmp_path / "fp32", rows, None, "cpu", lambda n: None)
    assert baseline.memory_bytes == 4 * sum(p.numel() for p in model.parameters())
    for variant in ("fp16", "int8", "nf4"):
        save_model(make_variant(variant, tmp_path / "fp32", 0.0, "cpu"), tiny_tokenizer(), tmp_path / variant)
        found = measure(variant, tmp_path / variant, rows, baseline, "cpu", lambda n: None)
        assert found.memory_saving == pytest.approx(TEXTBOOK_SAVING[variant], abs=0.06)
        assert found.disk_saving == pytest.approx(found.memory_saving, abs=0.03)
        assert abs(found.extra_loss) < 0.05


def test_perplexity_is_that_of_the_scores(tmp_path):
    source = save_tiny(tmp_path / "fp32", "llama")
    rows = [Example([1, 2, 3, 4], 2, 2, "en"), Example([5, 6, 7, 8, 9], 1, 4, "ja")]
    found = measure("fp32", source, rows, None, "cpu", lambda n: None)
    scores = score_examples(tiny_llama(), rows)
    assert found.perplexity == pytest.approx(torch.tensor(sum(s.nll for s in scores) / 6).exp().item(), rel=1e-5)
    assert found.loss_per_character == pytest.approx({"en": scores[0].nll / 2, "ja": scores[1].nll / 4}, rel=1e-5)
    with pytest.raises(MigakiError, match="is nan"):
        perplexity_of([Score(float("nan"), 3, 3)])


def test_fixed_tokens_gives_exactly_so_many_with_languages_in_turn():
    rows = [Example(list(range(100 + 10 * i)), 20, 0, lang) for i, lang in enumerate(["en", "en", "en", "ja", "ja", "ja"])]
    chosen = fixed_tokens(rows, 450, tiny_tokenizer())
    assert sum(len(row.ids) for row in chosen) == 450
    assert [row.lang for row in chosen] == ["en", "ja", "en", "ja"]
    assert chosen[:3] == [rows[0], rows[3], rows[1]] and chosen[3].ids == rows[4].ids[:110]
    assert fixed_tokens(rows, 10_000, tiny_tokenizer()) == [rows[0], rows[3], rows[1], rows[4], rows[2], rows[5]]


def test_fixed_tokens_never_keeps_a_row_without_an_answer():
    rows = [Example(list(range(50)), 10, 0, "en"), Example(list(range(50)), 30, 0, "ja")]
    assert fixed_tokens(rows, 70, tiny_tokenizer()) == [rows[0]]


BASE = Variant("fp32", 10.0, 0.0, {}, 0, 0, 0.0, 0.0, 0.0, 1.0)


def measured(**extra) -> dict[str, Variant]:
    return {"fp32": BASE} | {variant: replace(BASE, variant=variant, extra_loss=loss) for variant, loss in extra.items()}


@pytest.mark.parametrize(
    ("wanted", "losses", "picked", "over"),
    [
        ("nf4", {"nf4": 0.02, "int8": 0.01, "fp16": 0.0}, "nf4", 0),
        ("nf4", {"nf4": 0.08, "int8": 0.01, "fp16": 0.0}, "int8", 1),
        ("nf4", {"nf4": 0.08, "int8": 0.06, "fp16": 0.0}, "fp16", 2),
        ("nf4", {"nf4": 0.08, "int8": 0.06, "fp16": 0.9}, "fp32", 3),
        ("int8", {"nf4": 0.0, "int8": 0.05, "fp16": 0.0}, "int8", 0),
        ("fp16", {"nf4": 0.0, "int8": 0.0, "fp16": 0.0}, "fp16", 0),
        ("auto", {"nf4": 0.04, "int8": 0.01, "fp16": 0.0}, "nf4", 0),
        ("auto", {"nf4": 0.06, "int8": -0.01, "fp16": 0.0}, "int8", 1),
    ],
)
def test_a_variant_that_loses_too_much_gives_way_to_the_next_larger_one(wanted, losses, picked, over):
    name, passed_over = choose(wanted, measured(**losses), {}, 0.05)
    assert (name, len(passed_over)) == (picked, over)


def test_the_reason_is_told():
    _, passed_over = choose("auto", measured(int8=0.2, fp16=0.0), {"nf4": "bitsandbytes finds no layer"}, 0.05)
    assert passed_over == ["nf4: bitsandbytes finds no layer", "int8: perplexity +20.0%, allowed +5.0%"]
