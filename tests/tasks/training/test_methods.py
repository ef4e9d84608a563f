"""The tuning methods in every family: what learns, how much, what a fresh one changes, and what is kept of it opens as what was trained."""

import json

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.models.beside import take_off
from tasks.models.bottleneck import bottlenecks, load_bottlenecks, save_bottlenecks
from tasks.models.likelihood import whole_model
from tasks.models.loader import load_model
from tasks.models.lora import lora_layers
from tasks.models.merged import load_merged
from tasks.models.opening import open_model
from tasks.models.quantized import disk_bytes, parameter_count, quantized, weight_bytes
from tasks.models.unmerged import load_unmerged
from tasks.quantization.settings import QuantizeSettings
from tasks.training.inspection import inspect_model
from tasks.training.loop import make_optimizer
from tasks.training.methods import make_trainable, share_of, trained_parameters
from tasks.training.settings import LEARNING_RATES, UNMERGEABLE, PretrainSettings, TuneSettings
from tests.helpers.heads import tiny_of
from tests.helpers.models import FAMILIES, save_tiny
from tests.helpers.training_project import IDS, TUNE

ROWS = [Example(list(range(3, 30)), 9), Example(list(range(40, 52)), 4)]
FALCON = {("falcon", "prompt"), ("falcon", "prefix")}  # its attention is its own, and knows no virtual tokens


def settings(method: str, **more) -> TuneSettings:
    return TUNE.model_copy(update={"method": method, "learning_rate": None, "adapter_size": 8, "virtual_tokens": 4, **more})


def states(trainable, rows=(0, 1)):
    batch = collate(ROWS, rows, pad_id=0)
    return trainable.final_states(ROWS, 1)(batch), batch


def test_gpt2s_lora_is_the_textbooks_294912_of_124439808():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    wanted = TuneSettings(lora_r=8, lora_alpha=32, lora_targets="c_attn", top_fraction=1.0)
    assert trained_parameters(model, wanted) == 294_912
    with torch.device("meta"):
        trainable = make_trainable(model, wanted)
    assert (trainable.trained, trainable.total) == (294_912, 124_439_808)
    assert trainable.share == "294,912 of 124,439,808 (0.24 %)"


def test_shares_have_two_digits_that_say_something():
    shares = [share_of(n, 10_000_000).partition(" of 10,000,000 ")[2] for n in (10_000_000, 355_000, 23_700, 860)]
    assert shares == ["(100.00 %)", "(3.55 %)", "(0.24 %)", "(0.0086 %)"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [name for name in LEARNING_RATES if name != "qlora"])
def test_what_learns_is_counted_and_a_fresh_method_changes_nothing_but_by_virtual_tokens(family, method):
    if (family, method) in FALCON:
        with pytest.raises(MigakiError, match="family 'falcon' bring an attention of their own"):
            make_trainable(FAMILIES[family](), settings(method))
        return
    model = FAMILIES[family]()
    before = whole_model(model)(collate(ROWS, (0, 1), pad_id=0))
    expected = trained_parameters(model, settings(method, dora=True))
    trainable = make_trainable(model, settings(method, dora=True))
    assert trainable.trained == expected == sum(p.numel() for p in trainable.parameters)
    assert {id(p) for p in trainable.parameters} == {id(p) for p in trainable.model.parameters() if p.requires_grad}
    found, batch = states(trainable)
    fresh = (found - before)[batch.mask.bool()].abs().max()
    assert fresh > 1e-3 if method in ("prompt", "prefix") else fresh < 1e-5
    found[batch.predicts].sum().backward()
    moved = [p.grad is not None and bool(p.grad.abs().sum()) for p in trainable.parameters]
    assert any(moved) and (method not in ("prompt", "prefix", "ia3") or all(moved))
    alone, one = states(trainable, (1,))
    torch.testing.assert_close(alone[0], found[1, : one.ids.shape[1]], atol=1e-5, rtol=1e-5)  # padding is seen by nothing


@pytest.mark.parametrize("method", LEARNING_RATES)
def test_every_method_learns_and_what_is_kept_is_what_was_trained(method, training_project):
    """The stage itself holds the saved one against the trained one, to 1e-4 nats a token."""
    project = training_project
    tuned = project.run("tune", settings(method, learning_rate=1e-3 if method == "full" else None))
    metrics = project.metrics(tuned)
    for lang in ("en", "ja"):
        assert metrics[f"tune.loss_per_character_after.{lang}"][0] < metrics[f"tune.loss_per_character_before.{lang}"][0]
    assert (tuned.meta["method"], tuned.meta["total_parameters"]) == (method, 181_312)
    assert tuned.meta.get("trunk") == ("nf4" if method == "qlora" else None)
    [headline] = [line for line in tuned.meta["headlines"] if line["label"] == "trained parameters"]
    assert f"tune: {method} trains {headline['after']} parameters" in project.log
    files = [file for file in project.folder(tuned).rglob("*") if file.is_file()]
    assert not [file.name for file in files if str(project.home.root.parent).encode() in file.read_bytes()]
    if method not in UNMERGEABLE:
        assert (project.logits(tuned) - project.logits(None)).abs().max() > 1e-3
        return
    with pytest.raises(MigakiError, match=f"tune.method = {method} left cannot be merged"):
        project.logits(tuned)
    work = project.work("tune", project.home.root, {})
    beside, _ = open_model(work.model.path, work.trained(tuned), work.adapter, beside=True)
    with torch.no_grad():
        wanted = beside(input_ids=IDS).logits
    assert (wanted - project.logits(None)).abs().max() > 1e-3
    released = project.run("quantize", QuantizeSettings(eval_tokens=300, pick="int8", max_loss=9.0), aligned=tuned)
    assert released.meta["precision"] == "fp16"
    assert released.meta["passed_over"] == [
        f"int8: what tune.method = {method} left stays beside weights of floating point: accepted are fp16 and fp32"
    ]
    folder = project.folder(released) / "model"
    served = load_model(folder)
    with torch.no_grad():
        torch.testing.assert_close(served(input_ids=IDS).logits, wanted, atol=5e-3, rtol=5e-3)
        take_off(served)
        torch.testing.assert_close(served(input_ids=IDS).logits, project.logits(None), atol=5e-3, rtol=5e-3)
    assert disk_bytes(folder) > sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def test_a_qlora_adapter_is_merged_into_the_weights_that_it_learnt_on(training_project):
    project = training_project
    below = project.run("pretrain", PretrainSettings(block_tokens=64, epochs=1, learning_rate=1e-2))
    tuned = project.run("tune", settings("qlora"), pretrained=below)
    assert tuned.meta["adapters"] == [below.id, tuned.id]
    work = project.work("tune", project.home.root, {})
    folders = [project.folder(ref) / "adapter" for ref in (below, tuned)]
    merged, _ = open_model(work.model.path, work.trained(tuned), work.adapter)
    with torch.no_grad():
        trained = load_unmerged(work.model.path, folders, "nf4")(input_ids=IDS).logits
        torch.testing.assert_close(merged(input_ids=IDS).logits, trained, atol=1e-4, rtol=1e-4)
        original = load_merged(work.model.path, folders)(input_ids=IDS).logits
    assert (original - trained).abs().max() > 1e-2  # what a merge into the original weights would have given
    assert not quantized(merged)


def test_an_nf4_trunk_is_counted_by_what_its_weights_stand_for(tmp_path):
    base = save_tiny(tmp_path, hidden=64)
    whole, small = load_merged(base, []), load_unmerged(base, [], "nf4")
    assert parameter_count(small) == parameter_count(whole)
    layers = sum(layer.in_features * layer.out_features for _, layer in quantized(small))
    outside = 4 * (parameter_count(whole) - layers)
    assert outside + layers / 2 < weight_bytes(small) < outside + layers / 2 + layers / 64 + 3000 * len(quantized(small))
    assert weight_bytes(whole) == 4 * parameter_count(whole)


def test_bottlenecks_are_after_both_parts_of_the_upper_layers_and_fit_no_other_model(tmp_path):
    trainable = make_trainable(FAMILIES["gpt2"](), settings("adapter"))
    assert list(bottlenecks(trainable.model)) == [f"transformer.h.{layer}.{part}.c_proj" for layer in (2, 3) for part in ("attn", "mlp")]
    save_bottlenecks(trainable.model, tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["size"] == 8
    with pytest.raises(MigakiError, match="do not fit this llama model"):
        load_bottlenecks(FAMILIES["llama"](), tmp_path / "adapter")


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("mixtral", "adapter", "which this mixtral model does not have: tune.method = adapter"),
        ("mixtral", "ia3", "which this mixtral model does not have: tune.method = ia3"),
        ("gemma2", "prefix", "'gemma2' have layers of sliding_attention, which would lose sight of virtual tokens"),
        ("gemma2", "prompt", "'gemma2' have layers of sliding_attention, which would lose sight of virtual tokens"),
    ],
)
def test_what_a_family_cannot_have_is_refused_by_name_before_a_run(kind, method, words, tmp_path):
    model = tiny_of(kind, vocab_size=260)
    with pytest.raises(MigakiError, match=words):
        make_trainable(model, settings(method))
    model.save_pretrained(tmp_path)
    assert any(words in problem for problem in inspect_model(tmp_path, settings(method)).problems)


def test_a_falcon_prefix_is_refused_without_its_weights(tmp_path):
    found = inspect_model(save_tiny(tmp_path, "falcon"), settings("prefix"))
    assert len(found.problems) == 1 and "'falcon' bring an attention of their own" in found.problems[0]


@pytest.mark.parametrize("method", LEARNING_RATES)
def test_what_is_said_before_a_run_is_what_learns(method, tmp_path):
    found = inspect_model(save_tiny(tmp_path), settings(method, dora=True))
    assert found.problems == [] and found.facts["targets"]["method"] == method
    assert found.facts["targets"]["parameters"] == trained_parameters(FAMILIES["llama"](), settings(method, dora=True))


def test_an_adapter_that_can_only_be_merged_is_refused_beside_smaller_weights(training_project):
    project = training_project
    base = project.work("tune", project.home.root, {}).model.path
    for made, words in (
        (settings("ia3"), "kind IA3 can only be merged"),
        (settings("lora", dora=True), "tune.dora learnt can only be merged"),
    ):
        tuned = project.run("tune", made)
        with pytest.raises(MigakiError, match=words):
            load_unmerged(base, [project.folder(tuned) / "adapter"], "bfloat16")


def test_the_rank_stabilised_scale_is_alpha_by_the_root_of_the_rank():
    (plain, stable) = (
        make_trainable(FAMILIES["llama"](), settings("lora", lora_r=16, lora_alpha=32.0, rslora=rslora)).model for rslora in (False, True)
    )
    scales = [{layer.scaling["default"] for layer in lora_layers(model)} for model in (plain, stable)]
    assert scales == [{2.0}, {8.0}]


def test_each_method_has_its_own_learning_rate_and_the_scales_of_ia3_do_not_decay():
    for method, rate in LEARNING_RATES.items():
        chosen = TuneSettings(method=method)
        groups = make_optimizer([torch.nn.Parameter(torch.ones(2, 1)), torch.nn.Parameter(torch.ones(2))], chosen).param_groups
        assert [group["lr"] for group in groups] == [rate, rate]
        assert [group["weight_decay"] for group in groups] == [0.0 if method == "ia3" else 0.01, 0.0]
    assert TuneSettings(method="prefix", learning_rate=0.5).peak_learning_rate == 0.5
