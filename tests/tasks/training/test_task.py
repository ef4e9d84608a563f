"""The stages pretrain, tune and quantize one after the other, in every family: what they write opens again and is what was trained."""

import json
import math
from pathlib import Path

import pytest
import torch

from storage.artifacts import ArtifactStore
from tasks.data.records import save
from tasks.errors import MigakiError
from tasks.models.loader import load_model
from tasks.models.lora import lora_layers
from tasks.models.opening import open_model
from tasks.prompts.template import encode_chat, prompt_text
from tasks.prompts.templates import template_name
from tasks.quantization.settings import QuantizeSettings
from tasks.training import fitting, methods, task_tune
from tasks.training.settings import PretrainSettings
from tests.helpers.chat_templates import TEMPLATES
from tests.helpers.models import FAMILIES
from tests.helpers.training_project import IDS, TUNE, instruction

QUANTIZE = QuantizeSettings(pick="int8", eval_tokens=300, max_loss=0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_tune_then_quantize(family, new_training_project):
    project = new_training_project(family, chat_template=family == "llama")
    tuned = project.run("tune", TUNE)
    metrics = project.metrics(tuned)
    for lang in ("en", "ja"):
        assert metrics[f"tune.loss_per_character_after.{lang}"][0] < metrics[f"tune.loss_per_character_before.{lang}"][0]
        assert metrics[f"tune.perplexity_after.{lang}"][0] == pytest.approx(math.exp(metrics[f"tune.loss_per_token_after.{lang}"][0]))
    assert len(metrics["tune.loss"]) == 12
    assert (tuned.meta["rows"], tuned.meta["rows_shortened"], tuned.meta["held_out_rows"]) == (8, 0, 4)
    assert (project.logits(tuned) - project.logits(None)).abs().max() > 1e-3

    release = project.run("quantize", QUANTIZE, aligned=tuned)
    assert release.meta["precision"] == ("fp16" if "no layer" in str(release.meta["passed_over"]) else "int8")
    served = load_model(project.folder(release) / "model")
    with torch.no_grad():
        assert (served(IDS).logits - project.logits(tuned)).std() < 0.1 * project.logits(tuned).std()
    torch.testing.assert_close(project.logits(release), served(IDS).logits)
    assert not (project.folder(release) / "variants").exists()


def test_artifacts_are_complete_and_say_nothing_of_this_machine(training_project, tmp_path):
    tuned = training_project.run("tune", TUNE)
    whole = training_project.run("tune", TUNE.model_copy(update={"method": "full"}))
    release = training_project.run("quantize", QUANTIZE, aligned=tuned)
    for ref, wanted in (
        (tuned, "adapter/adapter_model.safetensors"),
        (whole, "model/tokenizer.json"),
        (release, "model/model.safetensors"),
    ):
        files = [file for file in training_project.folder(ref).rglob("*") if file.is_file()]
        assert wanted in {file.relative_to(training_project.folder(ref)).as_posix() for file in files}
        assert not [file.name for file in files if str(tmp_path).encode() in file.read_bytes()]


def test_pretrain_feeds_tune(training_project):
    settings = PretrainSettings(block_tokens=64, epochs=3, learning_rate=1e-2, top_fraction=1.0)
    pretrained = training_project.run("pretrain", settings)
    metrics = training_project.metrics(pretrained)
    for lang in ("en", "ja"):
        assert metrics[f"pretrain.perplexity_after.{lang}"][0] < 0.8 * metrics[f"pretrain.perplexity_before.{lang}"][0]
    tuned = training_project.run("tune", TUNE, pretrained=pretrained)
    assert tuned.meta["adapters"] == [pretrained.id, tuned.id]
    start = training_project.metrics(tuned)["tune.loss"][0]
    assert start != training_project.metrics(training_project.run("tune", TUNE))["tune.loss"][0]


def test_full_fine_tuning_begins_a_new_chain(new_training_project):
    project = new_training_project("gpt2")
    pretrained = project.run("pretrain", PretrainSettings(method="full", block_tokens=64, epochs=1))
    adapter = project.run("tune", TUNE, pretrained=pretrained)
    assert adapter.meta["adapters"] == [pretrained.id, adapter.id]
    whole = project.run("tune", TUNE.model_copy(update={"method": "full", "learning_rate": 1e-3}), pretrained=pretrained)
    assert (whole.meta["adapters"], whole.meta["model"]) == ([whole.id], "model")
    for ref in (pretrained, adapter, whole):
        assert (project.logits(ref) - project.logits(None)).abs().max() > 1e-3
    assert project.run("quantize", QUANTIZE, aligned=whole).meta["precision"] == "int8"


def test_variant_that_loses_too_much_is_passed_over_and_said(training_project):
    release = training_project.run(
        "quantize", QuantizeSettings(pick="nf4", eval_tokens=200, max_loss=0.0, keep_all=True), aligned=training_project.run("tune", TUNE)
    )
    table = {row["variant"]: row for row in release.meta["variants"]}
    assert list(table) == ["fp32", "fp16", "int8", "nf4"]
    allowed = [variant for variant in ("nf4", "int8", "fp16") if table[variant]["extra_loss"] <= 0]
    assert release.meta["precision"] == (allowed[0] if allowed else "fp32")
    assert release.meta["passed_over"] == [line.partition("not picked, ")[2] for line in training_project.log if "not picked" in line]
    assert table["fp32"]["disk_bytes"] > table["fp16"]["disk_bytes"] > table["int8"]["disk_bytes"] > table["nf4"]["disk_bytes"]
    kept = {path.name for path in (training_project.folder(release) / "variants").iterdir()}
    assert kept == {"fp32", "fp16", "int8", "nf4"} - {release.meta["precision"]}


def test_rows_longer_than_the_context_are_measured_as_far_as_it_goes(new_training_project):
    project = new_training_project("gpt2")
    with ArtifactStore(project.home).draft("dataset", "l" * 64) as folder:
        save(folder / "instructions/eval.parquet", [instruction("Why?", "because " * 200, "en")])
        long = project.commit(folder, {})
    release = project.run(
        "quantize", QuantizeSettings(pick="int8", eval_tokens=4000, max_loss=0.5), dataset=long, aligned=project.run("tune", TUNE)
    )
    assert release.meta["precision"] == "int8"


def test_empty_dataset_is_refused(training_project):
    with ArtifactStore(training_project.home).draft("dataset", "e" * 64) as folder:
        training_project.dataset = training_project.commit(folder, {})
    for name, settings, message in (("tune", TUNE, "--instructions"), ("pretrain", PretrainSettings(), "--text")):
        with pytest.raises(MigakiError, match=message):
            training_project.run(name, settings)
    with pytest.raises(MigakiError, match="migaki align"):
        training_project.run("quantize", QUANTIZE)


def test_limit_that_cuts_every_answer_is_refused_before_training(training_project):
    with pytest.raises(MigakiError, match=r"tune.max_tokens = 8 cuts away all 8 answers"):
        training_project.run("tune", TUNE.model_copy(update={"max_tokens": 8}))


def test_auto_takes_every_row_whole_and_a_limit_is_said_loudly(training_project):
    tuned = training_project.run("tune", TUNE.model_copy(update={"max_tokens": "auto"}))
    assert tuned.meta["answer_tokens_cut"] == 0 and 20 < tuned.meta["max_tokens"] < 120
    assert not [line for line in tuned.meta["headlines"] if "NOT LEARNT" in line["label"]]
    assert not (training_project.folder(tuned) / "cut.json").exists()
    cut = training_project.run("tune", TUNE.model_copy(update={"max_tokens": tuned.meta["max_tokens"] - 6}))
    [headline] = [line for line in cut.meta["headlines"] if "NOT LEARNT" in line["label"]]
    share = cut.meta["answer_tokens_cut"] / cut.meta["answer_tokens"]
    assert headline["after"] == f"{share:.1%}" and share > 0.01
    rows = json.loads((training_project.folder(cut) / "cut.json").read_text(encoding="utf-8"))
    assert sum(rows.values()) == cut.meta["answer_tokens_cut"] and len(rows) == cut.meta["rows_shortened"]
    [line] = [line for line in training_project.log if "are not learnt" in line]
    assert next(iter(rows)) in line and "tune.cuts" in line


def test_auto_measures_held_out_rows_whole_that_are_longer_than_all_others(training_project):
    rows = [instruction("Who?", "It is a piece of text. " * 3, "en")]
    with ArtifactStore(training_project.home).draft("dataset", "e" * 64) as folder:
        save(folder / "instructions/train.parquet", [instruction(question, "Yes.", "en") for question in "abcdefgh"])
        save(folder / "instructions/eval.parquet", rows)
        dataset = training_project.commit(folder, {})
    tuned = training_project.run("tune", TUNE.model_copy(update={"max_tokens": "auto"}), dataset=dataset)
    work = training_project.work("tune", training_project.home.root, {})
    model, tokenizer = open_model(work.model.path, work.trained(tuned), work.adapter)
    [encoded] = encode_chat(tokenizer, rows[0].chat)
    labels = torch.tensor([[-100] * encoded.answers[0][0] + encoded.ids[encoded.answers[0][0] :]])
    own = float(model(input_ids=torch.tensor([encoded.ids]), labels=labels).loss)
    assert training_project.metrics(tuned)["tune.loss_per_token_after.en"][0] == pytest.approx(own, abs=1e-4)


def test_auto_stops_where_the_memory_does(training_project, monkeypatch):
    monkeypatch.setattr(task_tune, "longest_row", lambda *_: 30)
    monkeypatch.setattr(task_tune, "LEAST", 8)
    tuned = training_project.run("tune", TUNE.model_copy(update={"max_tokens": "auto"}))
    assert tuned.meta["max_tokens"] == 30 and any("for the memory that is free" in line for line in training_project.log)


def test_the_template_that_was_tuned_to_is_that_of_all_later_stages(new_training_project):
    project = new_training_project("gpt2", chat_template=False)
    tuned = project.run("tune", TUNE.model_copy(update={"template": "vicuna", "epochs": 1}))
    assert any("the template 'vicuna' (tune.template)" in line for line in project.log)
    assert tuned.meta["template"] == "vicuna" and project.run("tune", TUNE.model_copy(update={"epochs": 1})).meta["template"] == "alpaca"
    release = project.run("quantize", QUANTIZE, aligned=tuned)
    work = project.work("tune", project.home.root, {})
    for ref in (tuned, release):
        _, tokenizer = open_model(work.model.path, work.trained(ref), work.adapter)
        assert template_name(tokenizer) == "vicuna"
        assert prompt_text(tokenizer, [{"role": "user", "content": "hi"}]) == "USER: hi ASSISTANT:"
    served = load_model(project.folder(release) / "model")
    assert served.generation_config.eos_token_id == [tokenizer.eos_token_id]


def test_thoughts_are_settled_by_tune_for_all_later_stages(training_project):
    base = Path(training_project.context.model)
    config = json.loads((base / "tokenizer_config.json").read_text(encoding="utf-8"))
    thoughtful = "{%- if enable_thinking is defined and not enable_thinking %}{{ 'no thoughts ' }}{%- endif %}" + TEMPLATES["phi3"]
    (base / "chat_template.jinja").write_text(thoughtful, encoding="utf-8")
    (base / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": thoughtful}), encoding="utf-8")
    work = training_project.work("tune", training_project.home.root, {})
    for thinking in (False, True):
        tuned = training_project.run("tune", TUNE.model_copy(update={"thinking": thinking, "epochs": 1}))
        for ref in (tuned, training_project.run("quantize", QUANTIZE, aligned=tuned)):
            _, tokenizer = open_model(work.model.path, work.trained(ref), work.adapter)
            assert prompt_text(tokenizer, [{"role": "user", "content": "hi"}]).startswith("no thoughts") != thinking


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(training_project):
    base = Path(training_project.context.model)
    file = base / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["added_tokens"] += [content["added_tokens"][-1] | {"id": 300 + i, "content": f"<|more{i}|>"} for i in range(100)]
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(MigakiError, match=r"the tokenizer in 'base' has \d+ tokens and the model embeddings for"):
        training_project.run("tune", TUNE)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_kept_scores_as_what_was_trained(family, method, new_training_project, monkeypatch):
    project, opened = new_training_project(family), []
    whole = fitting.require_as_said

    def noting(record, said, work):
        opened.append(len(said.rows))
        whole(record, said, work)

    monkeypatch.setattr(fitting, "require_as_said", noting)
    below = project.run("pretrain", PretrainSettings(method=method, block_tokens=64, epochs=1))
    project.run("tune", TUNE.model_copy(update={"method": method, "learning_rate": 2e-3}), pretrained=below)
    assert opened == [9, 4]  # the held-out blocks, then the held-out rows


def test_what_opens_as_something_else_is_refused(training_project, monkeypatch):
    """The case that tied embeddings were: the merged model is another than the trained one."""
    whole = methods.save_adapter

    def damaging(model, name, folder):
        with torch.no_grad():
            for layer in lora_layers(model):
                layer.lora_B["default"].weight.mul_(1.1)
        whole(model, name, folder)

    monkeypatch.setattr(methods, "save_adapter", damaging)
    with pytest.raises(
        MigakiError, match=r"a loss of \d\.\d+ nats a token on 4 rows, and \d+\.\d+ once it is saved and opened again .*nothing was kept"
    ):
        training_project.run("tune", TUNE)


def test_without_held_out_rows_training_rows_are_scored_again(training_project, monkeypatch):
    with ArtifactStore(training_project.home).draft("dataset", "h" * 64) as folder:
        save(folder / "instructions/train.parquet", [instruction(f"Why {i}?", "because", "en") for i in range(40)])
        training_project.dataset = training_project.commit(folder, {})
    said = []
    whole = fitting.require_as_said
    monkeypatch.setattr(fitting, "require_as_said", lambda record, rows, work: (said.append(rows), whole(record, rows, work)))
    training_project.run("tune", TUNE.model_copy(update={"epochs": 1}))
    assert len(said[0].rows) == fitting.RESCORED == len({tuple(row.ids) for row in said[0].rows})
    assert any("on training rows, as there are no others" in line for line in training_project.log)


@pytest.mark.parametrize("targets", ["lm_head", "q_proj,lm_head", "embed_tokens"])
def test_adapters_on_embeddings_that_are_not_tied(training_project, targets):
    settings = TUNE.model_copy(update={"lora_targets": targets, "top_fraction": 1.0, "learning_rate": 1e-2})
    tuned = training_project.run("tune", settings)
    assert (training_project.logits(tuned) - training_project.logits(None)).abs().max() > 1e-3


def test_adapters_on_tied_embeddings_are_refused_before_training(new_training_project):
    project = new_training_project("gpt2")
    with pytest.raises(MigakiError, match="tied embeddings.*accepted: attention, all-linear"):
        project.run("tune", TUNE.model_copy(update={"lora_targets": "lm_head"}))
    assert "tune: loss before" not in str(project.log)
