"""A model that is opened to be trained or measured is held against its own forward: once, and refused where it differs."""

import json
import shutil
import stat

import pytest
import torch
from torch import nn

from storage.home import Home
from tasks.errors import MigakiError
from tasks.inference import agreement as checks
from tasks.inference.agreement import Verdict, cached_agreement, examined, packed, probe_ids
from tasks.models.agreement import TOLERANCE, Agreement, model_forward
from tasks.models.families import HeadScale
from tasks.models.loader import load_model
from tasks.models.opening import open_model
from tasks.models.quantized import make_variant, save_model
from tasks.quantization.settings import QuantizeSettings
from tasks.stages.opening import once, open_checked
from tasks.training.settings import PretrainSettings
from tests.helpers.heads import LAYERS, SETTINGS, tiny_of
from tests.helpers.models import save_tiny, tiny_gpt2, tiny_llama, tiny_tokenizer
from tests.helpers.training_project import TUNE

IDS_TENSOR = torch.arange(2 * 9).reshape(2, 9)
IDS = [11, 40, 40, 3, 22, 17, 60, 4, 28, 35, 1]


@pytest.fixture
def counted(monkeypatch):
    """The precisions of the checks that were really made."""
    made = []

    def counting(model, ids, precision, *others):
        made.append(precision)
        return examined(model, ids, precision, *others)

    monkeypatch.setattr(checks, "examined", counting)
    return made


def work_of(project):
    return project.work("tune", project.home.root, {})


@pytest.mark.parametrize("family", SETTINGS)
def test_decoding_from_the_cache_agrees_in_every_family(family):
    found = cached_agreement(tiny_of(family), IDS)
    assert found.holds and found.layer is None, found


def test_a_verdict_is_kept_by_all_that_it_depends_on(training_project, counted):
    project = training_project
    for _ in range(3):
        open_checked(work_of(project), None)
    assert counted == ["float32"]
    (kept,) = project.home.checks.iterdir()
    verdict = json.loads(kept.read_text())
    assert set(verdict["distances"]) == {"run in parts", "decoded from the cache"} and verdict["limit"] == 1e-4
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and stat.S_IMODE(project.home.checks.stat().st_mode) == 0o700
    open_checked(work_of(project), None, "bfloat16")
    assert counted == ["float32", "bfloat16"]
    save_tiny(project.home.root.parent / "base", seed=7, hidden=64)  # another checksum
    open_checked(work_of(project), None)
    open_checked(work_of(project), None)
    assert counted == ["float32", "bfloat16", "float32"]


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe", b"[]", b"null", b"{}", b'{"distances": {}, "limit": 1}', b'{"distances": {"a": 2}, "limit": 1}']
)
def test_a_damaged_verdict_is_made_anew(training_project, counted, damage):
    open_checked(work_of(training_project), None)
    (kept,) = training_project.home.checks.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    open_checked(work_of(training_project), None)
    assert len(counted) == 2 and kept.read_bytes() == whole
    open_checked(work_of(training_project), None)
    assert len(counted) == 2


def test_a_difference_is_refused_with_its_size_and_layer_and_not_kept(training_project, monkeypatch):
    monkeypatch.setattr("tasks.models.trunk.head_scale", lambda _: HeadScale(1.5))
    for _ in range(2):
        with pytest.raises(
            MigakiError, match=r"'llama' model in float32 on cpu run in parts .* by up to 0\.\d+ nats, 0.0001 are .* after the last layer"
        ):
            open_checked(work_of(training_project), None)
    assert not training_project.home.checks.exists()
    with pytest.raises(MigakiError, match="after the last layer"):  # and so is the stage
        training_project.run("pretrain", PretrainSettings(block_tokens=64))


def test_a_difference_in_the_cache_is_placed(monkeypatch):
    from tasks.inference import sampling

    whole = sampling._ActiveRows.feed

    def forgetful(self, tokens):
        """The third layer's cache gives back other keys than it was given."""
        self.cache.layers[2].keys[..., :1, :] += 1.0
        buffers = self.cache.layers[2]._buffers
        buffers[0][..., :1, :] += 1.0
        whole(self, tokens)

    monkeypatch.setattr(sampling._ActiveRows, "feed", forgetful)
    found = cached_agreement(tiny_llama(layers=4), IDS)
    assert found.distance > 1e-3 and found.layer == 3  # which is the first that the third layer's output enters
    monkeypatch.setattr(sampling, "position_ids", lambda mask: mask.cumsum(-1))
    monkeypatch.setattr(sampling._ActiveRows, "feed", whole)
    assert cached_agreement(tiny_gpt2(), IDS).layer == 0


def test_numbers_that_are_none_are_refused():
    model = tiny_llama()
    with torch.no_grad():
        model.lm_head.weight[3, 5] = float("nan")
    with pytest.raises(MigakiError, match="by up to nan nats"):
        examined(model, IDS, "float32", None, print)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "qwen3", "phi"])
def test_fewer_bits_are_allowed_what_they_round(family, tmp_path):
    tiny_of(family).save_pretrained(tmp_path / "model")
    half = examined(load_model(tmp_path / "model", "bfloat16"), IDS, "bfloat16", lambda: load_model(tmp_path / "model"), print)
    assert half.distance <= half.limit and 1e-3 < half.limit < 1


@pytest.mark.parametrize("variant", ["int8", "nf4"])
def test_quantized_models_agree(variant, tmp_path):
    save_tiny(tmp_path / "model", hidden=64)
    save_model(make_variant(variant, tmp_path / "model", 6.0, "cpu"), tiny_tokenizer(), tmp_path / "small")
    verdict = examined(load_model(tmp_path / "small"), IDS, variant, lambda: load_model(tmp_path / "model"), print)
    assert verdict.distance <= verdict.limit and verdict.limit > 1e-3


@pytest.mark.parametrize("scale", [1.5, 1.01])  # the latter makes less than bfloat16 rounds, and shows in float32
def test_fewer_bits_that_differ_by_more_are_refused(scale, tmp_path, monkeypatch):
    tiny_of("llama").save_pretrained(tmp_path / "model")
    model = load_model(tmp_path / "model", "bfloat16")
    monkeypatch.setattr("tasks.models.trunk.head_scale", lambda _: HeadScale(scale))
    with pytest.raises(MigakiError, match="in float32 .* after the last layer"):
        examined(model, IDS, "bfloat16", lambda: load_model(tmp_path / "model"), print)
    if scale > 1.1:
        with pytest.raises(MigakiError, match="in bfloat16 .* after the last layer"):
            examined(model, IDS, "bfloat16", None, print)


def test_what_cannot_be_measured_is_said(monkeypatch):
    log: list[str] = []
    model = tiny_of("llama").bfloat16()
    assert examined(model, IDS, "bfloat16", None, log.append).limit == 1.0 and "it is not to be had" in log[0]
    monkeypatch.setattr(checks.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    assert examined(model, IDS, "bfloat16", lambda: pytest.fail("opened"), log.append).limit == 1.0
    assert "GiB are free" in log[1]


def test_a_quantized_release_is_held_against_what_it_was_made_of(training_project, monkeypatch):
    """And against the base where that is gone."""
    project, opened = training_project, []
    tuned = project.run("tune", TUNE)
    release = project.run("quantize", QuantizeSettings(pick="int8", eval_tokens=300, max_loss=0.5), aligned=tuned)
    assert release.meta["precision"] == "int8" and len(list(project.home.checks.iterdir())) == 3  # float32, int8 and NF4

    def noting(model, ids, precision, exact, log):
        opened.append((precision, exact()(IDS_TENSOR).logits))
        return examined(model, ids, precision, exact, log)

    monkeypatch.setattr(checks, "examined", noting)
    open_checked(work_of(project), release)
    assert opened == []  # the verdict on the variant is kept
    manifest = project.folder(release) / "manifest.json"
    for inputs, wanted in (({}, None), ({"aligned": tuned.id}, tuned), ({"aligned": "gone"}, None)):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"inputs": inputs}))
        shutil.rmtree(project.home.checks)
        open_checked(work_of(project), release)
        precision, logits = opened.pop()
        assert precision == "int8" and not opened
        other = open_model(work_of(project).model.path, work_of(project).trained(wanted), work_of(project).adapter)[0]
        torch.testing.assert_close(logits, other(IDS_TENSOR).logits)


def test_a_variant_that_differs_is_passed_over(training_project, monkeypatch):
    def refusing(model, ids, precision, *others):
        if precision == "nf4":
            raise MigakiError("differs by 3 nats")
        return examined(model, ids, precision, *others)

    monkeypatch.setattr(checks, "examined", refusing)
    release = training_project.run(
        "quantize", QuantizeSettings(pick="nf4", eval_tokens=300, max_loss=5.0), aligned=training_project.run("tune", TUNE)
    )
    assert release.meta["precision"] == "int8" and release.meta["passed_over"] == ["nf4: differs by 3 nats"]


def test_packed_layers_are_held_against_the_plain_ones(monkeypatch):
    verdict = packed(tiny_llama(), IDS, "float32", None)
    assert list(verdict.distances) == ["with packed layers"] and verdict.distance <= 1e-4

    def wrongly(model, head):
        with torch.no_grad():
            nn.init.zeros_(model.model.layers[2].mlp.down_proj.weight)

    monkeypatch.setattr(checks, "pack_linear", wrongly)
    with pytest.raises(MigakiError, match=f"with packed layers .* begins at layer 3 of {LAYERS}"):
        packed(tiny_llama(), IDS, "float32", None)


def test_the_probe_is_within_the_vocabulary():
    assert probe_ids(tiny_llama(), tiny_tokenizer()) == tiny_tokenizer()(checks.TEXT)["input_ids"][: checks.PROBE]
    for tokenizer in (None, tiny_tokenizer()):  # whose tokens are more than this model's
        ids = probe_ids(tiny_llama(vocab=40), tokenizer)
        assert len(ids) == checks.PROBE and max(ids) < 40 and len(set(ids)) > 4


def test_a_verdict_that_is_there_costs_a_file(tmp_path):
    home = Home(tmp_path)
    arguments = (home, "c" * 64, "float32", torch.device("cpu"))
    assert once(*arguments, lambda: Verdict({"a": 0.0}, 1e-4))
    assert not once(*arguments, lambda: pytest.fail("checked again"))
    assert once(home, "d" * 64, "float32", torch.device("cpu"), lambda: Verdict({"a": 0.0}, 1e-4))


def test_float32_is_let_round_as_far_as_the_models_own_two_ways_are_apart(monkeypatch):
    model = tiny_llama()
    ids, wanted = list(range(2, 14)), model_forward(model, list(range(2, 14)))
    near, far = Agreement(TOLERANCE / 2, None), Agreement(2 * TOLERANCE, 1)
    assert checks._float32_limit(model, ids, wanted, {"a way": near}) == TOLERANCE
    assert checks._float32_limit(model, ids, wanted, {"a way": near, "another": far}) == TOLERANCE
    own = model.forward

    def rounds(*arguments, past_key_values=None, **named):
        out = own(*arguments, past_key_values=past_key_values, **named)
        if past_key_values is not None:
            out.logits[..., 0] += 1.0
        return out

    monkeypatch.setattr(model, "forward", rounds)
    assert 0.1 < checks._float32_limit(model, ids, wanted, {"another": far}) < 2.1
