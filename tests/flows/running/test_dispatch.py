"""What a run is refused for before its first stage."""

import json

import pytest

from flows.running.dispatch import require_models, require_trainable
from flows.running.parameters import RunSettings
from storage.artifacts import MANIFEST
from tasks.errors import MigakiError
from tasks.training.settings import TuneSettings
from tests.helpers.small_project import tiny_model


@pytest.mark.parametrize("field", ["model", "embedder", "embedder_en"])
def test_a_model_that_cannot_be_had_is_told_with_its_setting(home, small_project, field):
    there = {"model": small_project.model, "embedder": small_project.embedder}
    require_models(RunSettings(**there))
    with pytest.raises(MigakiError, match=f"^run.{field}: 'models/ない' is no model folder .* accepted: hub:"):
        require_models(RunSettings(**there | {field: "models/ない"}))
    with pytest.raises(MigakiError, match=f"^run.{field}: 'hub:' is no model reference"):
        require_models(RunSettings(**there | {field: "hub:"}))


def test_a_method_or_targets_that_the_family_cannot_have_are_told(home, small_project, tmp_path):
    require_trainable(RunSettings(model=small_project.model), TuneSettings(method="ia3"))
    for settings, told in (
        ({"lora_targets": "c_attn"}, r"LoRA targets \['c_attn'\]"),
        ({"method": "prefix"}, "family 'falcon' bring an attention"),
    ):
        with pytest.raises(MigakiError, match=told):
            require_trainable(RunSettings(model=tiny_model(tmp_path, "falcon")), TuneSettings(**settings))


def test_what_was_tuned_so_before_is_not_looked_at_again(home, small_project):
    settings, missing = TuneSettings(method="ia3"), RunSettings(model=f"{small_project.model}-gone")
    with pytest.raises(MigakiError, match="is no model folder"):
        require_trainable(missing, settings)
    made = home.objects / "adapter" / ("a" * 64)
    made.mkdir(parents=True)
    told = {"stage": "tune", "model": missing.model, "settings": settings.model_dump(mode="json"), "created": "2026-11-30T00:00:00"}
    (made / MANIFEST).write_text(json.dumps(told))
    require_trainable(missing, settings)
    with pytest.raises(MigakiError, match="is no model folder"):
        require_trainable(missing, TuneSettings())
